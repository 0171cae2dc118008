pulpo::main! {
    setup: |app| {
        app.state(5);
        5
    }
}

//~ | => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>` or `anyhow::Error`
