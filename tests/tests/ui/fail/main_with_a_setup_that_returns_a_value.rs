pulpo::main! {
    setup: |app| {
        app.state(5);
        5
    }
}
