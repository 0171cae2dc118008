struct Invoice {
    total: u32,
}

fn main() {
    let _ = pulpo::publish::<Invoice>(Invoice { total: 1 });
    let _ = pulpo::publish(Invoice { total: 1 });
    let _ = pulpo::publish(pulpo::Message::new(Invoice { total: 1 }));
}

//~ Invoice { total: 1 } => a type is a job if some `
//~ Invoice { total: 1 } => a type is a job if some `
//~ pulpo::Message::new(Invoice { total: 1 }) => a type is a job if some `
