fn ping(_: Ping) -> impl pulpo::IntoOutcome {}
const _: () = {
    #[automatically_derived]
    #[allow(non_local_definitions)]
    impl ::pulpo::Job for Ping {
        const REQUEST_TYPE: &'static ::core::primitive::str = "ping";
    }
    #[unsafe(export_name = "two pulpo handlers for the request type `ping`")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    ::pulpo::__private::submit! {
        ::pulpo::__private::handler:: < Ping > (::core::concat!(::core::module_path!(),
        "::ping"), ::core::file!(), ::core::line!(), | __run |
        ::pulpo::__private::decode:: < Ping > (__run).map(| __body |
        ::pulpo::__private::outcome(ping(__body))), & [],)
    }
};
