fn ping(_: jobs::Ping) {}
const _: () = {
    enum __Handler {}
    #[allow(non_local_definitions)]
    impl ::pulpo::__private::HasOneHandler<__Handler> for jobs::Ping {}
    const _: fn() = ::pulpo::__private::a_declared_job_has_one_handler::<jobs::Ping, _>;
    ::pulpo::__private::submit! {
        ::pulpo::__private::handler:: < jobs::Ping >
        (::core::concat!(::core::module_path!(), "::ping"), ::core::file!(),
        ::core::line!(), | __run | ::pulpo::__private::decode:: < jobs::Ping > (__run)
        .map(| __body | ::pulpo::__private::outcome:: < () > (ping(__body))), & [],)
    }
};
