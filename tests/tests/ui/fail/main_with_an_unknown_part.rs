pulpo::main! {
    states: |app| app.state(5),
}
