const _: () = {
    const fn __pulpo_entry_of_ping() -> ::pulpo::__private::Handler {
        ::pulpo::__private::batch_handler::<
            __pulpo_Body_of_ping,
        >(
            ::core::concat!(::core::module_path!(), "::ping"),
            ::core::file!(),
            ::core::line!(),
            |__run| {
                ::pulpo::__private::decode_all::<__pulpo_Body_of_ping>(__run)
                    .map(|__body| {
                        ::pulpo::__private::__outcome_async!(
                            outcomes_async, __run, < Vec < Outcome > as
                            ::pulpo::__private::IntoOutcomes > ::into_outcomes,
                            ping(__body, < State < Pool > as
                            ::pulpo::__private::Parameter > ::of(__run))
                        )
                    })
            },
            &[<State<Pool> as ::pulpo::__private::Parameter>::needed],
            20u32,
            ::core::time::Duration::new(0u64, 0u32),
        )
    }
    ::pulpo::__private::submit! {
        __pulpo_entry_of_ping()
    }
};
