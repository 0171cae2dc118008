use std::error::Error;

pulpo::main! {
    setup: |app| {
        app.state(7_u32);
        Ok::<(), Box<dyn Error>>(())
    }
}

//~ | => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>` or `anyhow::Error`
