fn ping(all: Vec<Ping>, run: &Context) -> Result<Vec<Outcome>, Error> {
    Ok(Vec::new())
}
const _: () = {
    #[automatically_derived]
    #[allow(non_local_definitions)]
    impl ::pulpo::Job for Ping {
        const REQUEST_TYPE: &'static ::core::primitive::str = "ping";
    }
    #[unsafe(export_name = "two pulpo handlers for the request type `ping`")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    ::pulpo::__private::submit! {
        ::pulpo::__private::batch_handler:: < Ping >
        (::core::concat!(::core::module_path!(), "::ping"), ::core::file!(),
        ::core::line!(), | __run | ::pulpo::__private::decode_all:: < Ping > (__run)
        .map(| __body | ::pulpo::__private::outcomes:: < Result < Vec < Outcome >, Error
        > > (ping(__body, ::pulpo::__private::parameter:: < & Context > (__run)))), &
        [::pulpo::__private::needed:: < & Context >], 100u32,
        ::core::time::Duration::new(1u64, 500000000u32),)
    }
};
