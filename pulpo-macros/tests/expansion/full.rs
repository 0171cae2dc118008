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
    #[automatically_derived]
    #[allow(non_local_definitions)]
    impl crate::jobs::pulpo::Job for mail::SendEmail<4> {
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
    }
    #[unsafe(export_name = "two pulpo handlers for the request type `send_email`")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    #[unsafe(export_name = "two pulpo handlers for the request type `sendmail`")]
    pub static __PULPO_REQUEST_TYPE_1: ::core::primitive::u8 = 0;
    #[unsafe(export_name = "two pulpo handlers for the request type `mail::send`")]
    pub static __PULPO_REQUEST_TYPE_2: ::core::primitive::u8 = 0;
    crate::jobs::pulpo::__private::submit! {
        crate ::jobs::pulpo::__private::handler:: < mail::SendEmail < 4 > >
        (::core::concat!(::core::module_path!(), "::send_email"), ::core::file!(),
        ::core::line!(), | __run | crate ::jobs::pulpo::__private::decode:: <
        mail::SendEmail < 4 > > (__run).map(| __body | crate
        ::jobs::pulpo::__private::outcome:: < Result < (), mail::Error > >
        (send_email(__body))), & [],)
    }
};
