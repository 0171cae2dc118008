#[cfg(unix)]
fn ping(_: Ping) {}
#[cfg(unix)]
::core::compile_error! {
    "expected a duration in a string such as \"30s\", got `60`: write \"60s\" for seconds"
}
#[cfg(unix)]
const _: () = {
    #[automatically_derived]
    impl ::pulpo::Job for Ping {
        const REQUEST_TYPE: &'static ::core::primitive::str = "ping";
        const POLICY: ::pulpo::Policy = ::pulpo::Policy::DEFAULT.priority(7u32);
        const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: ::pulpo::__private::ByMacro = ::pulpo::__private::ByMacro;
    }
};
