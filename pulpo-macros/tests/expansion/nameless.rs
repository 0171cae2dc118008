fn ping(_: jobs::Ping) {}
const _: () = {
    ::pulpo::__private::submit! {
        ::pulpo::__private::handler:: < jobs::Ping >
        (::core::concat!(::core::module_path!(), "::ping"), ::core::file!(),
        ::core::line!(), | __run | ::pulpo::__private::decode:: < jobs::Ping > (__run)
        .map(| __body | ::pulpo::__private::outcome:: < () > (ping(__body))), & [],)
    }
};
