#[allow(
    clippy::large_types_passed_by_value,
    clippy::missing_const_for_fn,
    clippy::needless_pass_by_value,
    clippy::single_call_fn
)]
/// Sends one.
#[cfg(feature = "mail")]
#[expect(deprecated)]
#[cfg_attr(unix, cfg(not(test)), inline)]
pub(crate) fn send_email(
    SendEmail { to, .. }: mail::SendEmail<4>,
) -> Result<(), mail::Error> {
    mail::send(to)
}
#[cfg(feature = "mail")]
#[allow(deprecated)]
#[cfg_attr(unix, cfg(not(test)))]
const _: () = {
    type __pulpo_Body_of_send_email = mail::SendEmail<4>;
    #[automatically_derived]
    impl crate::jobs::pulpo::Job for __pulpo_Body_of_send_email {
        const REQUEST_TYPE: &'static ::core::primitive::str = "send_email";
        const ALIASES: &'static [&'static ::core::primitive::str] = &[
            "sendmail",
            "mail::send",
        ];
        const POLICY: crate::jobs::pulpo::Policy = crate::jobs::pulpo::Policy::DEFAULT
            .queue("mail")
            .priority(10u32)
            .max_attempts(5u32)
            .backoff(
                ::core::time::Duration::new(1u64, 0u32),
                ::core::time::Duration::new(3600u64, 0u32),
            )
            .ttr(::core::time::Duration::new(90u64, 0u32))
            .timeout(::core::time::Duration::new(1u64, 500000000u32));
        const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: crate::jobs::pulpo::__private::ByMacro = crate::jobs::pulpo::__private::ByMacro;
    }
    #[unsafe(export_name = "two_pulpo_handlers_for_the_request_type__send_email")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    impl crate::jobs::pulpo::__private::NamesOneJob<__pulpo_Handler_of_send_email>
    for crate::jobs::pulpo::__private::RequestType<17508624028164233144u64> {}
    const _: fn() = crate::jobs::pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<
        crate::jobs::pulpo::__private::RequestType<17508624028164233144u64>,
        _,
    >;
    #[unsafe(export_name = "two_pulpo_handlers_for_the_request_type__sendmail")]
    pub static __PULPO_REQUEST_TYPE_1: ::core::primitive::u8 = 0;
    impl crate::jobs::pulpo::__private::NamesOneJob<__pulpo_Handler_of_send_email>
    for crate::jobs::pulpo::__private::RequestType<5270748493998440408u64> {}
    const _: fn() = crate::jobs::pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<
        crate::jobs::pulpo::__private::RequestType<5270748493998440408u64>,
        _,
    >;
    #[unsafe(export_name = "two_pulpo_handlers_for_the_request_type__mail$3A$3Asend")]
    pub static __PULPO_REQUEST_TYPE_2: ::core::primitive::u8 = 0;
    impl crate::jobs::pulpo::__private::NamesOneJob<__pulpo_Handler_of_send_email>
    for crate::jobs::pulpo::__private::RequestType<10133820415221408832u64> {}
    const _: fn() = crate::jobs::pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<
        crate::jobs::pulpo::__private::RequestType<10133820415221408832u64>,
        _,
    >;
    pub enum __pulpo_Handler_of_send_email {}
    impl crate::jobs::pulpo::__private::HasOneHandler<__pulpo_Handler_of_send_email>
    for __pulpo_Body_of_send_email {}
    const fn __pulpo_entry_of_send_email() -> crate::jobs::pulpo::__private::Handler {
        crate::jobs::pulpo::__private::handler::<
            __pulpo_Body_of_send_email,
        >(
            ::core::concat!(::core::module_path!(), "::send_email"),
            ::core::file!(),
            ::core::line!(),
            |__run| {
                crate::jobs::pulpo::__private::decode::<
                    __pulpo_Body_of_send_email,
                >(__run)
                    .map(|__body| <Result<
                        (),
                        mail::Error,
                    > as crate::jobs::pulpo::__private::IntoOutcome>::into_outcome(
                        send_email(__body),
                    ))
            },
            &[],
        )
    }
    crate::jobs::pulpo::__private::submit! {
        __pulpo_entry_of_send_email()
    }
};
