//! The image of contrib, built and run without a container engine: the test executes each
//! instruction of the Dockerfile in its own folders, on a program that depends on pulpo by a path,
//! as in the README.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulpo_tests::beanstalkd::free_port;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use crate::workspace::root;

const MANIFEST: &str = r#"
[package]
name = "shop"
version = "0.1.0"
edition = "2024"

[dependencies]
pulpo = { path = "../pulpo/pulpo", features = ["http"] }
serde = { version = "1", features = ["derive"] }
"#;

const PROGRAM: &str = r#"
#[pulpo::handler("greet")]
fn greet(_: Greet) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Greet {
    name: String,
}

pulpo::main!();
"#;

/// As in the workspace, so that compiled crates are reused.
const PROFILE: &str = "
[profile.dev]
debug = 'line-tables-only'
[profile.dev.package.libsqlite3-sys]
opt-level = 3
";

/// A stage of the build: the folder that stands for its root, and its settings.
#[derive(Debug, Default)]
struct Stage {
    root: PathBuf,
    folder: String,
    arguments: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    user: String,
    volumes: Vec<String>,
    stop_signal: String,
    entry: Vec<String>,
    command: Vec<String>,
}

impl Stage {
    /// Returns the local path for a path of the image.
    fn here(&self, path: &str) -> PathBuf {
        let full = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.folder) };
        self.root.join(full.trim_start_matches('/'))
    }

    /// Rewrites a command so that all absolute paths are below our folder, and it touches nothing else.
    fn moved(&self, command: &str) -> String {
        let words = command.split_whitespace().map(|word| {
            let start = word.trim_start_matches('"');
            let quote = &word[..word.len() - start.len()];
            if start.starts_with('/') { format!("{quote}{}{start}", self.root.display()) } else { word.to_owned() }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn run(&self, command: &str) {
        for step in command.split("&&").map(str::trim) {
            // Steps that need the network or the system's users are checked, but not executed.
            let step = match step.split_whitespace().next() {
                Some("apt-get") if step.contains("update") => continue,
                Some("apt-get") => step.replacen("apt-get", "apt-get --simulate", 1),
                Some("useradd") => step.replacen("useradd", "true", 1),
                _ => self.moved(step),
            };
            let output = Command::new("sh")
                .args(["-euc", &step])
                .current_dir(self.here(""))
                .envs(&self.arguments)
                .env("CARGO_NET_OFFLINE", "true")
                .env("CARGO_INCREMENTAL", "0")
                .env("CARGO_TARGET_DIR", root().join("target"))
                .output()
                .expect("there is a shell");
            assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Parses the instructions, without comments and with continuation lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let filled = joined.lines().filter(|line| !line.trim().is_empty());
    filled.map(|line| line.split_once(' ').expect("an instruction and its arguments")).map(owned).collect()
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.trim().to_owned())
}

/// Parses the words of an instruction in the form `["a", "b"]`.
fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).expect("a list of words: the form that starts no shell")
}

/// Copies a folder without files and folders of these names.
fn copy(from: &Path, to: &Path, ignored: &[&str]) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name();
        if ignored.iter().any(|ignored| name == **ignored) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if from.is_dir() {
            copy(&from, &to, ignored);
        } else {
            fs::copy(&from, &to).expect("copied");
        }
    }
}

/// Executes the Dockerfile in `place`, with this folder as the build context.
fn build(place: &Sandbox, sent: &Path, arguments: &[(&str, &str)]) -> Stage {
    let ignored = fs::read_to_string(root().join("contrib/Dockerfile.dockerignore")).expect("a file");
    let ignored: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix("**/")).collect();
    let mut stages: BTreeMap<String, Stage> = BTreeMap::new();
    let mut stage = Stage::default();
    let mut name = String::new();
    for (instruction, rest) in instructions(&fs::read_to_string(root().join("contrib/Dockerfile")).expect("a file")) {
        match &*instruction {
            "FROM" => {
                stages.insert(name, std::mem::take(&mut stage));
                name = rest.split_once(" AS ").map_or("", |(_, name)| name).to_owned();
                stage.root = place.path(&format!("stage-{}", stages.len()));
                fs::create_dir_all(&stage.root).expect("made");
            }
            "ARG" => {
                let (key, default) = rest.split_once('=').map_or((&*rest, None), |(key, value)| (key, Some(value)));
                let given = arguments.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
                let value = given.or(default).unwrap_or_else(|| panic!("{key} is given"));
                stage.arguments.insert(key.to_owned(), value.trim_matches('"').to_owned());
            }
            "RUN" => stage.run(&rest),
            "WORKDIR" => {
                stage.folder = rest;
                fs::create_dir_all(stage.here("")).expect("made");
            }
            "COPY" if rest == ". ." => copy(sent, &stage.here("."), &ignored),
            "COPY" => {
                let paths: Vec<_> = rest.strip_prefix("--from=").expect("from a stage").split(' ').collect();
                let to = stage.here(paths[2]);
                fs::create_dir_all(to.parent().expect("a folder")).expect("made");
                fs::copy(stages[paths[0]].here(paths[1]), to).expect("made by the stage before");
            }
            "USER" => stage.user = rest,
            "VOLUME" => stage.volumes.push(rest),
            "STOPSIGNAL" => stage.stop_signal = rest,
            "ENV" => _ = rest.split_once('=').map(owned).map(|(key, value)| stage.environment.insert(key, value)),
            "ENTRYPOINT" => stage.entry = words(&rest),
            "CMD" => stage.command = words(&rest),
            unknown => panic!("what does {unknown} do?"),
        }
    }
    stage
}

/// Creates a build context with a clone of pulpo, and a program beside it.
fn sent(place: &Sandbox) -> PathBuf {
    let sent = place.path("sent");
    copy(&root(), &sent.join("pulpo"), &["target", ".git", "pulpo-data", "fuzz"]);
    fs::create_dir_all(sent.join("shop/src")).expect("made");
    fs::write(sent.join("shop/Cargo.toml"), MANIFEST).expect("written");
    fs::write(sent.join("shop/src/main.rs"), PROGRAM).expect("written");
    fs::copy(root().join("Cargo.lock"), sent.join("shop/Cargo.lock")).expect("copied");
    let locked = Command::new(env!("CARGO"))
        .args(["update", "--offline", "--quiet", "--workspace"])
        .current_dir(sent.join("shop"))
        .status();
    assert!(locked.expect("started").success());
    // Files that do not belong in an image.
    for private in ["shop/target/old", "shop/pulpo-data/queue.db", "pulpo/.git/config"] {
        fs::create_dir_all(sent.join(private).parent().expect("a folder")).expect("made");
        fs::write(sent.join(private), "").expect("written");
    }
    fs::create_dir_all(place.path(".cargo")).expect("made");
    fs::write(place.path(".cargo/config.toml"), PROFILE).expect("written");
    sent
}

/// Returns the value of an option on a command line.
fn option<'a>(line: &'a str, option: &str) -> Option<&'a str> {
    line.split_once(&format!(" {option} "))?.1.split(' ').next()
}

#[test]
fn the_image_is_built_and_works_and_answers_where_its_port_is_published() {
    let place = Sandbox::new();
    let dockerfile = fs::read_to_string(root().join("contrib/Dockerfile")).expect("a file");
    let lines: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("#   docker ")).collect();

    // Built as the file says for a program beside a clone of pulpo.
    let line = lines.iter().find(|line| line.contains("PACKAGE=")).expect("a line for it");
    let given: Vec<_> =
        line.split("--build-arg ").skip(1).map(|rest| rest.split(' ').next().expect("a word")).collect();
    let mut given: Vec<_> = given.iter().map(|word| word.split_once('=').expect("a value")).collect();
    given.push(("PROFILE", "dev"));
    let image = build(&place, &sent(&place), &given);
    for private in ["shop/target", "shop/pulpo-data", "pulpo/.git"] {
        assert!(!place.path("stage-1/src").join(private).exists(), "{private} is not sent");
    }
    assert!(place.path("stage-1/src/shop/src/main.rs").exists());

    assert_ne!(image.user, "");
    assert_eq!(image.volumes, [&*image.folder], "the queue lies in the volume");
    assert_eq!(image.stop_signal, "SIGTERM");
    let runs: Vec<_> = lines.iter().filter(|line| line.starts_with("run ")).collect();
    assert!(runs.iter().any(|line| line.contains(" -p ")) && runs.iter().any(|line| !line.contains(" -p ")));
    for (number, line) in runs.into_iter().enumerate() {
        let (_, folder) = option(line, "-v").and_then(|mount| mount.split_once(':')).expect("a volume");
        assert_eq!(folder, image.folder, "{line}");
        let mut set = image.environment.clone();
        if let Some((_, port)) = option(line, "-p").and_then(|published| published.rsplit_once(':')) {
            // It listens on all addresses of the container, because the published address is not one of them.
            let listen = option(line, "-e").and_then(|set| set.strip_prefix("PULPO_LISTEN=")).expect("it listens");
            assert_eq!(listen, format!("0.0.0.0:{port}"), "{line}");
            set.insert("PULPO_LISTEN".to_owned(), listen.replace(port, &free_port().to_string()));
        }
        let program = image.here(&image.entry[0]);
        let arguments: Vec<_> = image.entry[1..].iter().chain(&image.command).map(String::as_str).collect();
        let log = format!("log-{number}");
        let mut command = place.command(program.to_str().expect("a text"), &arguments);
        fs::create_dir_all(image.here("")).expect("what useradd makes");
        command.current_dir(image.here("")).envs(&set);
        let worker = place.start_with_log(command, &log);
        until("it works", || place.log_named(&log).contains("the worker starts"));
        assert!(image.here("pulpo-data/queue.db").exists());
        if let Some(listen) = set.get("PULPO_LISTEN") {
            let address = listen.replace("0.0.0.0", "127.0.0.1");
            until("it answers", || std::net::TcpStream::connect(&address).is_ok());
        }
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{}", place.log_named(&log));
        fs::remove_dir_all(image.here("pulpo-data")).expect("the queue of this run");
    }
}
