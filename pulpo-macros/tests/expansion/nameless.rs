#[allow(
    clippy::large_types_passed_by_value,
    clippy::missing_const_for_fn,
    clippy::needless_pass_by_value,
    clippy::single_call_fn
)]
fn ping(_: jobs::Ping) {}
const _: () = {
    type __pulpo_Body_of_ping = jobs::Ping;
    pub enum __pulpo_Handler_of_ping {}
    impl ::pulpo::__private::HasOneHandler<__pulpo_Handler_of_ping>
    for __pulpo_Body_of_ping {}
    impl ::pulpo::__private::Asked<__pulpo_Handler_of_ping>
    for ::pulpo::__private::Ask<16090874740171063923u64> {
        const ANSWER: ::core::primitive::usize = {
            ::pulpo::__private::answer(
                ::pulpo::__private::a_job_has_one_handler_so_remove_one_of_the_two::<
                    __pulpo_Body_of_ping,
                    _,
                >,
            )
        };
    }
    const fn __pulpo_entry_of_ping() -> ::pulpo::__private::Handler {
        ::pulpo::__private::handler::<
            __pulpo_Body_of_ping,
        >(
            ::core::concat!(::core::module_path!(), "::ping"),
            ::core::file!(),
            ::core::line!(),
            |__run| {
                ::pulpo::__private::decode::<__pulpo_Body_of_ping>(__run)
                    .map(|__body| <() as ::pulpo::__private::IntoOutcome>::into_outcome(
                        ping(__body),
                    ))
            },
            &[],
        )
    }
    ::pulpo::__private::submit! {
        __pulpo_entry_of_ping()
    }
};
