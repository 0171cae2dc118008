#[allow(deprecated)]
const _: () = {
    #[automatically_derived]
    impl ::pulpo::Job for Ping {
        const REQUEST_TYPE: &'static ::core::primitive::str = "ping";
        const ALIASES: &'static [&'static ::core::primitive::str] = &["pong"];
        const POLICY: ::pulpo::Policy = ::pulpo::Policy::DEFAULT.queue("net");
        const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: ::pulpo::__private::ByMacro = ::pulpo::__private::ByMacro;
    }
    pub enum __pulpo_Job {}
    #[unsafe(export_name = "two_pulpo_handlers_for_the_request_type__ping")]
    pub static __PULPO_REQUEST_TYPE_0: ::core::primitive::u8 = 0;
    impl ::pulpo::__private::NamesOneJob<__pulpo_Job>
    for ::pulpo::__private::RequestType<13776757609873999785u64> {}
    const _: fn() = ::pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<
        ::pulpo::__private::RequestType<13776757609873999785u64>,
        _,
    >;
    #[unsafe(export_name = "two_pulpo_handlers_for_the_request_type__pong")]
    pub static __PULPO_REQUEST_TYPE_1: ::core::primitive::u8 = 0;
    impl ::pulpo::__private::NamesOneJob<__pulpo_Job>
    for ::pulpo::__private::RequestType<10096747166808080535u64> {}
    const _: fn() = ::pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<
        ::pulpo::__private::RequestType<10096747166808080535u64>,
        _,
    >;
    ::pulpo::__private::submit! {
        ::pulpo::__private::declared:: < Ping > (::core::file!(), ::core::line!())
    }
};
