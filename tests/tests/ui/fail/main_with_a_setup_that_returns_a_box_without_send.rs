use std::error::Error;

pulpo::main! {
    setup: |app| {
        app.state(7_u32);
        Ok::<(), Box<dyn Error>>(())
    }
}
