async fn ping(all: Vec<jobs::Ping>, pool: State<Pool>) -> Vec<Outcome> {
    Vec::new()
}
const _: () = {
    enum __Handler {}
    #[allow(non_local_definitions)]
    impl ::pulpo::__private::HasOneHandler<__Handler> for jobs::Ping {}
    const _: fn() = ::pulpo::__private::a_declared_job_has_one_handler::<jobs::Ping, _>;
    ::pulpo::__private::submit! {
        ::pulpo::__private::batch_handler:: < jobs::Ping >
        (::core::concat!(::core::module_path!(), "::ping"), ::core::file!(),
        ::core::line!(), | __run | ::pulpo::__private::decode_all:: < jobs::Ping >
        (__run).map(| __body | ::pulpo::__private::__outcome_async!(outcomes_async,
        __run, Vec < Outcome >, ping(__body, ::pulpo::__private::parameter:: < State <
        Pool > > (__run)))), & [::pulpo::__private::needed:: < State < Pool > >], 20u32,
        ::core::time::Duration::new(0u64, 0u32),)
    }
};
