//! The argument of `setup` in `pulpo::main!`.

use std::error::Error;
use std::marker::PhantomData;

use crate::outcome::Failure;
use crate::state::States;

/// The program that [`main!`](crate::main!) creates, during its set-up.
///
/// `setup` runs before a worker starts, and in the command `check`.
///
/// ```no_run
/// # fn main() {}
/// # mod program {
/// struct Mailer { from: String }
///
/// pulpo::main! {
///     setup: |app| {
///         app.state(Mailer { from: std::env::var("MAIL_FROM")? });
///         Ok(())
///     }
/// }
/// # }
/// ```
#[derive(Debug, Default)]
pub struct App {
    pub(crate) states: States,
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<tokio::runtime::Handle>,
}

impl App {
    /// Provides a state to the handlers, which take it as
    /// [`State<T>`](crate::State). There is one per type; a second one keeps
    /// the worker from starting, so wrap it in its own type.
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(&mut self, state: T) {
        self.states.insert(state);
    }

    /// Runs async handlers on this runtime, which must be multi-threaded.
    /// Default: one that the process creates, with all features of Tokio that
    /// are compiled in.
    #[cfg(feature = "tokio")]
    pub fn runtime(&mut self, runtime: tokio::runtime::Handle) {
        self.runtime = Some(runtime);
    }

    /// Waits for a future on the runtime of the async handlers. Use it to
    /// create a state that needs one, such as a connection pool.
    ///
    /// ```no_run
    /// # fn main() {}
    /// # mod program {
    /// # struct Pool;
    /// # impl Pool { async fn connect(_: &str) -> Result<Self, std::io::Error> { Ok(Self) } }
    /// pulpo::main! {
    ///     setup: |app| {
    ///         let pool = app.block_on(Pool::connect("postgres://localhost/shop"))?;
    ///         app.state(pool);
    ///         Ok(())
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the system provides no threads for the runtime.
    #[cfg(feature = "tokio")]
    pub fn block_on<R>(&mut self, future: impl Future<Output = R>) -> R {
        let runtime = self.runtime.get_or_insert_with(|| crate::runtime::shared().expect("threads for the runtime"));
        runtime.block_on(future)
    }
}

/// Why the set-up of a program failed.
pub(crate) type SetupFailure = Box<dyn Error + Send + Sync>;

/// Calls `setup` and converts its return value.
pub fn set_up<R: SetUp>(app: &mut App, setup: impl FnOnce(&mut App) -> R) -> Result<(), SetupFailure> {
    setup(app).into_result()
}

/// Types that `setup` may return: `()`, or `Result<(), E>` where `E` is any std
/// error or `anyhow::Error`.
#[diagnostic::on_unimplemented(
    message = "`setup` cannot return `{Self}`",
    label = "expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, \
             `Box<dyn Error + Send + Sync>` or `anyhow::Error`"
)]
#[doc(hidden)]
pub trait SetUp {
    fn into_result(self) -> Result<(), SetupFailure>;
}

impl SetUp for () {
    fn into_result(self) -> Result<(), SetupFailure> {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Failure>> SetUp for Result<(), E> {
    fn into_result(self) -> Result<(), SetupFailure> {
        self.map_err(|error| error.into().into_error())
    }
}

/// Holds if two function types are the same.
#[diagnostic::on_unimplemented(
    message = "`pulpo::main!` makes the function `main`, and here it would be another one that nothing calls",
    label = "write this at the top level of `src/main.rs`, in place of `fn main`"
)]
#[doc(hidden)]
pub trait Same<F> {}

impl<F> Same<F> for F {}

/// Two functions to compare. Their types are inferred before the comparison.
#[derive(Debug)]
pub struct Mains<F, G>(PhantomData<(F, G)>);

impl<F, G> Mains<F, G> {
    /// Takes two functions.
    pub const fn of(_: &F, _: &G) -> Self {
        Self(PhantomData)
    }

    /// Requires them to be the same function.
    pub const fn are_one(&self)
    where
        F: Same<G>,
    {
    }
}
