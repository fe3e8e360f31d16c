//! An operating system error in a form that a lane may carry.

/// A failed system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IoFault {
    /// The operating system's error number; see `errno(3)`.
    pub errno: i32,
}

impl From<rustix::io::Errno> for IoFault {
    fn from(errno: rustix::io::Errno) -> Self {
        Self {
            errno: errno.raw_os_error(),
        }
    }
}

impl From<std::io::Error> for IoFault {
    /// An error that carries no number becomes `EIO`: none of the calls made here gives one.
    fn from(error: std::io::Error) -> Self {
        Self {
            errno: error
                .raw_os_error()
                .unwrap_or_else(|| rustix::io::Errno::IO.raw_os_error()),
        }
    }
}

impl core::fmt::Display for IoFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        std::io::Error::from_raw_os_error(self.errno).fmt(f)
    }
}
