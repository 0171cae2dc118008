//! `completions`, and `--help`.

use std::process::Command;

use pulpo_tests::program::Sandbox;

use super::well;

/// Returns bash's completions after these words.
fn completed(place: &Sandbox, words: &[&str]) -> String {
    let script = format!(
        "source completions.bash; COMP_WORDS=(worker {} ''); COMP_CWORD={}; _worker worker '' {}; echo \"${{COMPREPLY[*]}}\"",
        words.join(" "),
        words.len() + 1,
        words.last().expect("a word")
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(place.folder()).output().expect("bash");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn bash_completes_commands_options_types_and_queues() {
    let place = Sandbox::new();
    std::fs::write(place.path("completions.bash"), well(&place, &["completions", "bash"])).expect("written");
    let words = completed(&place, &["publish"]);
    assert!(words.contains(" --lines ") && words.ends_with("echo say nap record\n"), "{words}");
    assert_eq!(completed(&place, &["list", "--type"]), "echo say nap record\n");
    assert_eq!(completed(&place, &["kick", "--queue"]), "side\n");
    assert!(completed(&place, &["pause"]).contains(" side"));
    assert!(completed(&place, &["completions"]).contains(" bash "));
    assert!(!place.path("pulpo-data").exists(), "no queue is needed for that");
}

#[test]
fn other_shells_have_theirs() {
    let place = Sandbox::new();
    let zsh = well(&place, &["completions", "zsh"]);
    assert!(zsh.starts_with("#compdef worker\n") && zsh.contains("(echo say nap record)"), "{zsh}");
    let fish = well(&place, &["completions", "fish"]);
    assert!(fish.contains("complete -c worker") && fish.contains("echo"), "{fish}");
}

#[test]
fn each_command_teaches_by_example() {
    let place = Sandbox::new();
    let help = well(&place, &["--help"]);
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands: Vec<_> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        let help = well(&place, &[command, "--help"]);
        assert!(help.contains("\nExample") && help.contains(&format!("{command} ")), "{help}");
    }
}
