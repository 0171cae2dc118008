#[allow(deprecated)]
const _: () = {
    #[automatically_derived]
    #[allow(non_local_definitions)]
    impl ::pulpo::Job for Ping {
        const REQUEST_TYPE: &'static ::core::primitive::str = "ping";
        const ALIASES: &'static [&'static ::core::primitive::str] = &["pong"];
        const POLICY: ::pulpo::Policy = ::pulpo::Policy::DEFAULT.queue("net");
    }
    #[unsafe(export_name = "two pulpo handlers for the request type `ping`")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    #[unsafe(export_name = "two pulpo handlers for the request type `pong`")]
    pub static __PULPO_REQUEST_TYPE_1: ::core::primitive::u8 = 0;
    ::pulpo::__private::submit! {
        ::pulpo::__private::declared:: < Ping > (::core::file!(), ::core::line!())
    }
};
