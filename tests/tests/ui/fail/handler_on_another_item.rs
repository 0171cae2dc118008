#[pulpo::handler("a")]
struct A;

#[pulpo::handler("b")]
enum B {}

#[pulpo::handler("c")]
mod c {}

#[pulpo::handler("d")]
const D: u8 = 0;

#[pulpo::handler("e")]
impl A {}

#[pulpo::handler("f")]
trait F {}

#[pulpo::handler("g")]
use std::fmt as _;

#[pulpo::handler("h")]
type H = u8;

#[pulpo::handler("i")]
macro_rules! i {
    () => {};
}

fn main() {}

//~ struct A => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `struct A`
//~ enum B => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `enum B`
//~ mod c => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `mod c`
//~ const D => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `const D`
//~ impl A => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `impl A`
//~ trait F => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `trait F`
//~ use std => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `use std`
//~ type H => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `type H`
//~ macro_rules => expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `macro_rules`
