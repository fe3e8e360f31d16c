//! What goes wrong with an analyzer on the lane. Each is its declared failure verdict, never a log line.

/// How a module trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// The instruction `unreachable`: in Rust, a panic.
    Unreachable,
    /// Access outside its memory.
    MemoryOutOfBounds,
    /// Access outside its table.
    TableOutOfBounds,
    /// Integer division by zero.
    DivisionByZero,
    /// Integer division that overflows.
    IntegerOverflow,
    /// Conversion of a float that fits no integer.
    BadConversion,
    /// An indirect call to nothing, or to a function of another type.
    IndirectCall,
    /// Its stack is used up: recursion.
    StackOverflow,
    /// Anything else that ends a call.
    Other,
}

/// What is wrong with an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputFault {
    /// Good or uncertain, and not finite.
    NotFinite,
    /// Good or uncertain, and outside the range that the metadata declares.
    OutOfRange,
    /// No quality that a module may give.
    Quality,
    /// The word that must be 0 is not.
    Reserved,
}

/// Why an analyzer gave no answer. The outputs are bad then, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnalyzerFault {
    /// The module trapped (H-38).
    Trap(TrapKind),
    /// It used more fuel than it may, and was ended, or came back all the same (H-35).
    FuelExceeded {
        /// What it may use.
        fuel: u64,
    },
    /// It ran longer than its deadline, whatever fuel it had left (H-35).
    Deadline,
    /// What `tl_process` returned is no verdict (H-39).
    NonsenseVerdict(u64),
    /// An output that the ABI forbids (H-39).
    NonsenseOutput {
        /// Its number, from 0.
        index: u8,
        /// What is wrong.
        what: OutputFault,
    },
    /// A sample of the block is not finite, or is not after scaling (H-21). The module was not called.
    SampleNotFinite,
    /// The block does not fit what the module takes: none is taken, too few or too many samples, not whole samples, or
    /// floats for a module that takes `i16`. The module was not called.
    Block {
        /// Samples that came.
        samples: u32,
    },
    /// The caller gave another number of inputs or outputs than the specification says. The module was not called.
    Counts,
    /// The instance was lost and no spare is ready (H-38).
    NoSpare,
}

impl AnalyzerFault {
    /// Whether the instance must not be called again: what it keeps in its memory is not to be trusted.
    pub const fn instance_is_lost(self) -> bool {
        match self {
            Self::Trap(_)
            | Self::FuelExceeded { .. }
            | Self::Deadline
            | Self::NonsenseVerdict(_)
            | Self::NonsenseOutput { .. }
            | Self::NoSpare => true,
            Self::SampleNotFinite | Self::Block { .. } | Self::Counts => false,
        }
    }

    /// The fault of a call that wasmtime ended. `fuel` is what the call was given. Allocates nothing.
    pub(super) fn of(error: &wasmtime::Error, fuel: u64) -> Self {
        use wasmtime::Trap;
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => return Self::FuelExceeded { fuel },
            Some(Trap::Interrupt) => return Self::Deadline,
            Some(Trap::UnreachableCodeReached) => TrapKind::Unreachable,
            Some(Trap::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
            Some(Trap::TableOutOfBounds) => TrapKind::TableOutOfBounds,
            Some(Trap::IntegerDivisionByZero) => TrapKind::DivisionByZero,
            Some(Trap::IntegerOverflow) => TrapKind::IntegerOverflow,
            Some(Trap::BadConversionToInteger) => TrapKind::BadConversion,
            Some(Trap::IndirectCallToNull | Trap::BadSignature) => TrapKind::IndirectCall,
            Some(Trap::StackOverflow) => TrapKind::StackOverflow,
            _ => TrapKind::Other,
        };
        Self::Trap(kind)
    }
}
