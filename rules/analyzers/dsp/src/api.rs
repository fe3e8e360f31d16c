//! Small helpers over the SDK: parameters by place, outputs with their quality, verdicts from confirmations.

use tripline_analyzer::{Frame, Outputs, Refused, Verdict};

/// A derived value before it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output {
    Good(f64),
    Uncertain(f64),
    Bad,
}

impl Output {
    pub(crate) const fn of(value: f64, good: bool) -> Self {
        if good {
            Self::Good(value)
        } else {
            Self::Uncertain(value)
        }
    }

    /// The value within bounds, so that a number too large for the metadata's range is told as its end and is not nonsense.
    pub(crate) fn within(self, min: f64, max: f64) -> Self {
        match self {
            Self::Good(value) => Self::Good(value.clamp(min, max)),
            Self::Uncertain(value) => Self::Uncertain(value.clamp(min, max)),
            Self::Bad => Self::Bad,
        }
    }
}

/// Writes outputs from the first place on.
pub(crate) fn write<const N: usize>(out: &mut Outputs<'_>, values: [Output; N]) {
    for (number, value) in values.into_iter().enumerate() {
        match value {
            Output::Good(value) => out.good(number, value),
            Output::Uncertain(value) => out.uncertain(number, value),
            Output::Bad => out.bad(number),
        }
    }
}

/// Danger before alert before nothing.
pub(crate) const fn verdict(alert: bool, danger: bool, cause: u8) -> Verdict {
    match (danger, alert) {
        (true, _) => Verdict::danger(cause),
        (false, true) => Verdict::alert(cause),
        (false, false) => Verdict::NORMAL,
    }
}

/// The values of the first inputs, when all may be used.
pub(crate) fn inputs<const N: usize>(frame: &Frame<'_, f32>) -> Option<[f64; N]> {
    let mut values = [0.0; N];
    for (number, value) in values.iter_mut().enumerate() {
        *value = frame.input(number).usable()?;
    }
    Some(values)
}

/// Whether any of the first inputs changed since the last call.
pub(crate) fn news(frame: &Frame<'_, f32>, inputs: usize) -> bool {
    (0..inputs).any(|number| frame.input(number).changed)
}

/// Parameters by place.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(pub &'a [f64]);

impl Params<'_> {
    /// The number at a place, from 0.
    ///
    /// # Errors
    /// [`Refused`] when there is none or it is not finite.
    pub fn number(&self, at: usize) -> Result<f64, Refused> {
        let value = self.0.get(at).copied().filter(|value| value.is_finite());
        value.ok_or(refused(at))
    }

    /// A number above 0.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn positive(&self, at: usize) -> Result<f64, Refused> {
        let value = self.number(at)?;
        if value > 0.0 {
            Ok(value)
        } else {
            Err(refused(at))
        }
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn count(&self, at: usize, min: usize, max: usize) -> Result<usize, Refused> {
        let value = self.number(at)?;
        let count = crate::num::index(value);
        let whole = libm::trunc(value).to_bits() == value.to_bits();
        if whole && (min..=max).contains(&count) {
            Ok(count)
        } else {
            Err(refused(at))
        }
    }
}

/// The parameter at a place, from 0, is refused.
pub(crate) fn refused(at: usize) -> Refused {
    u8::try_from(at).map_or(Refused::COMBINATION, Refused::param)
}
