pulpo::main! {
    states: |app| app.state(5),
}

//~ states => unknown part `states`, expected the parts of the program: `pulpo::main! { crates: [my_jobs], setup: |app| app.state(…), jobs: [shared::jobs] }`, each of them optional
