//! Exit codes with a name: what a supervisor may rely on.

use std::process::ExitCode;

/// How the guard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Asked to stop; every stop was confirmed.
    Safe = 0,
    /// The arguments are wrong.
    Usage = 2,
    /// The bundle was refused.
    Bundle = 3,
    /// The control socket could not be opened, or another guard holds it.
    Socket = 4,
    /// A host name in the plan could not be resolved, or a password file not be used.
    Resolve = 5,
    /// Asked to stop after the watchdog had stopped a lane: it hung, died, ran away or skipped a stage.
    LaneDied = 6,
    /// Asked to stop, but a stop was not confirmed: trust the device's watchdog, then look.
    Unconfirmed = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        #[expect(
            clippy::as_conversions,
            reason = "the discriminants are the exit codes"
        )]
        Self::from(exit as u8)
    }
}
