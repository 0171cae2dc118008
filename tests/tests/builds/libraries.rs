//! Handlers in libraries that other languages load or link: their names pass through every linker,
//! and all handlers are there when a foreign program runs.

use std::process::Command;

use crate::workspace::Workspace;

/// Handlers whose names have each character that a request type may have.
const JOBS: &str = r#"
pub mod mail {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Send;

    #[pulpo::handler("shop:mail/send-now+.v1;$(x)_", alias = "send")]
    fn send(_: Send) {}
}

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("charge")]
pub struct Charge;
"#;

/// A function for foreign programs, which returns the request types, separated by commas.
const PLUGIN: &str = r#"
use std::ffi::{c_char, CString};
use jobs as _;

#[pulpo::handler]
fn charge(_: jobs::Charge) {}

mod deep {
    mod deeper {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Ping;

        #[pulpo::handler("ping")]
        async fn ping(_: Ping) {}
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn plugin_handlers() -> *const c_char {
    let registry = pulpo::Registry::collect();
    let names = match &registry {
        Ok(registry) => registry.iter().map(|handler| handler.request_type()).collect::<Vec<_>>().join(","),
        Err(error) => error.to_string(),
    };
    CString::new(names).expect("no zero").into_raw()
}
"#;

const NAMES: &str = "charge,ping,shop:mail/send-now+.v1;$(x)_\n";

/// A program in C that loads the library at run time, as an interpreter does.
const LOADS: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **arguments) {
    void *plugin = dlopen(arguments[1], RTLD_NOW);
    if (!plugin) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    const char *(*handlers)(void) = (const char *(*)(void))dlsym(plugin, "plugin_handlers");
    puts(handlers());
    return 0;
}
"#;

/// A program in C that is linked with the library.
const LINKS: &str = r#"
#include <stdio.h>
const char *plugin_handlers(void);
int main(void) { puts(plugin_handlers()); return 0; }
"#;

/// Creates a workspace with the library of this kind, not built yet.
fn library(kind: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.package("jobs", "2024", "", JOBS);
    let on_jobs = format!(
        "jobs = {{ path = \"../jobs\" }}\npulpo = {{ path = {:?}, default-features = false, features = [\"tokio\"] }}\n\
         [lib]\ncrate-type = [\"{kind}\"]\n",
        crate::workspace::root().join("pulpo")
    );
    workspace.package("plugin", "2021", &on_jobs, PLUGIN);
    workspace
}

/// Compiles and runs a program in C. Returns its output.
fn c_program(workspace: &Workspace, source: &str, linked: &[&str], arguments: &[&str]) -> String {
    let file = workspace.path().join("host.c");
    std::fs::write(&file, source).expect("written");
    let program = workspace.path().join("host");
    let compiled = Command::new("cc").arg(&file).arg("-o").arg(&program).args(linked).output().expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let run = Command::new(program).args(arguments).output().expect("it runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn a_shared_library_has_its_handlers_in_a_foreign_process() {
    let workspace = library("cdylib");
    for linker in [&[][..], &["-C", "link-arg=-fuse-ld=bfd"], &["-C", "link-arg=-fuse-ld=lld"]] {
        let build = [&["rustc", "-p", "plugin", "--lib", "--"], linker].concat();
        let (good, said) = workspace.cargo(&build);
        assert!(good, "{linker:?}: {said}");
        let plugin = workspace.built("libplugin.so");
        assert_eq!(c_program(&workspace, LOADS, &["-ldl"], &[&plugin]), NAMES, "{linker:?}");
    }
}

/// A linker takes from an archive only objects that something refers to, and nothing refers to a
/// handler: it must be told to take all.
#[test]
fn a_static_library_has_its_handlers_in_a_foreign_program() {
    let workspace = library("staticlib");
    let (good, said) = workspace.cargo(&["rustc", "-p", "plugin", "--lib"]);
    assert!(good, "{said}");
    let plugin = workspace.built("libplugin.a");
    let whole = ["-Wl,--whole-archive", &plugin, "-Wl,--no-whole-archive", "-lpthread", "-ldl", "-lm"];
    assert_eq!(c_program(&workspace, LINKS, &whole, &[]), NAMES);
}

/// Everything is linked dynamically, the standard library too.
#[test]
fn a_library_for_other_crates_has_its_handlers_in_a_program() {
    let workspace = library("dylib");
    let on_plugin = "plugin = { path = \"../plugin\" }\n";
    let program = r#"
        use plugin as _;

        #[derive(serde::Serialize, serde::Deserialize)]
        struct Own;

        #[pulpo::handler("own")]
        fn own(_: Own) {}

        fn main() {
            let registry = pulpo::Registry::collect().expect("sound handlers");
            println!("{}", registry.iter().map(|handler| handler.request_type()).collect::<Vec<_>>().join(","));
        }
    "#;
    workspace.package("worker", "2024", on_plugin, program);
    let (good, said) = workspace.cargo_with(&["run", "-p", "worker"], &[("RUSTFLAGS", "-C prefer-dynamic")]);
    assert!(good && said == NAMES.replace("ping", "own,ping"), "{said}");
}
