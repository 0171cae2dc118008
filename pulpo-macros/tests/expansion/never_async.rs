#[allow(
    clippy::large_types_passed_by_value,
    clippy::missing_const_for_fn,
    clippy::needless_pass_by_value,
    clippy::single_call_fn
)]
async fn ping(_: Ping) -> ! {
    loop {}
}
const _: () = {
    type __pulpo_Body_of_ping = Ping;
    #[automatically_derived]
    impl ::pulpo::Job for __pulpo_Body_of_ping {
        const REQUEST_TYPE: &'static ::core::primitive::str = "ping";
        const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: ::pulpo::__private::ByMacro = ::pulpo::__private::ByMacro;
    }
    #[unsafe(export_name = "two_pulpo_handlers_for_the_request_type__ping")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    impl ::pulpo::__private::NamesOneJob<__pulpo_Handler_of_ping>
    for ::pulpo::__private::RequestType<13776757609873999785u64> {}
    const _: fn() = ::pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<
        ::pulpo::__private::RequestType<13776757609873999785u64>,
        _,
    >;
    pub enum __pulpo_Handler_of_ping {}
    impl ::pulpo::__private::HasOneHandler<__pulpo_Handler_of_ping>
    for __pulpo_Body_of_ping {}
    const fn __pulpo_entry_of_ping() -> ::pulpo::__private::Handler {
        ::pulpo::__private::handler::<
            __pulpo_Body_of_ping,
        >(
            ::core::concat!(::core::module_path!(), "::ping"),
            ::core::file!(),
            ::core::line!(),
            |__run| {
                ::pulpo::__private::decode::<__pulpo_Body_of_ping>(__run)
                    .map(|__body| {
                        ::pulpo::__private::__outcome_async!(
                            outcome_async, __run, < () as ::pulpo::__private::IntoOutcome
                            > ::into_outcome, async move { ping(__body). await }
                        )
                    })
            },
            &[],
        )
    }
    ::pulpo::__private::submit! {
        __pulpo_entry_of_ping()
    }
};
