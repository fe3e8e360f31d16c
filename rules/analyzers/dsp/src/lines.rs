//! Where a bearing's defects show in an envelope spectrum, and how strongly.

use tripline_analyzer::Refused;

use crate::{
    Params,
    num::{float, index},
};

/// A rolling bearing's geometry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Rolling elements in a row.
    pub balls: f64,
    /// Diameter of one, in the unit of the pitch diameter.
    pub ball_diameter: f64,
    /// Pitch diameter.
    pub pitch_diameter: f64,
    /// Contact angle in degrees.
    pub contact_angle_deg: f64,
}

/// Defect frequencies in multiples of shaft speed, outer ring at rest, no slip.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Orders {
    /// Ball pass frequency of the inner race.
    pub bpfi: f64,
    /// Ball pass frequency of the outer race.
    pub bpfo: f64,
    /// Ball spin frequency. A defect on a ball strikes both races: it shows at twice this.
    pub bsf: f64,
    /// Cage (fundamental train) frequency.
    pub ftf: f64,
}

impl Geometry {
    /// From four parameters: balls, ball diameter, pitch diameter, contact angle.
    ///
    /// # Errors
    /// [`Refused`]: fewer than 3 balls, or a ball that is not smaller than the pitch diameter.
    pub fn from_params(params: Params<'_>, at: usize) -> Result<Self, Refused> {
        let geometry = Self {
            balls: float(params.count(at, 3, 1000)?),
            ball_diameter: params.positive(at.saturating_add(1))?,
            pitch_diameter: params.positive(at.saturating_add(2))?,
            contact_angle_deg: params.number(at.saturating_add(3))?,
        };
        if geometry.ball_diameter >= geometry.pitch_diameter {
            return Err(Refused::COMBINATION);
        }
        Ok(geometry)
    }

    /// The orders (Randall and Antoni 2011, equations 1 to 4).
    #[must_use]
    pub fn orders(&self) -> Orders {
        let ratio = self.ball_diameter / self.pitch_diameter
            * libm::cos(self.contact_angle_deg.to_radians());
        Orders {
            bpfi: 0.5 * self.balls * (1.0 + ratio),
            bpfo: 0.5 * self.balls * (1.0 - ratio),
            bsf: 0.5 * self.pitch_diameter / self.ball_diameter * (1.0 - ratio * ratio),
            ftf: 0.5 * (1.0 - ratio),
        }
    }
}

/// A spectrum of power whose bin is order x turns.
#[derive(Clone, Copy, Debug)]
pub struct OrderSpectrum<'a> {
    /// Power of each bin.
    pub power: &'a [f32],
    /// Turns of the shaft within the record.
    pub turns: f64,
    /// Seconds of the record.
    pub seconds: f64,
    /// Power below which there is no noise but that of rounding: a pure tone has an envelope without any.
    pub floor: f32,
}

/// A line at an order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// Amplitude over the median amplitude around it; 0 when there is no line there.
    pub strength: f64,
    /// Order at which it was found.
    pub order: f64,
    /// The order asked for lies on a harmonic of the shaft: what is there cannot be told from that.
    pub masked: bool,
}

/// Half the width around a line from which the median is taken, Hz.
const AROUND_HZ: f64 = 25.0;
/// Fewest bins on each side for a median that means something.
const AROUND_BINS_MIN: usize = 8;
/// Most bins on each side: what the scratch memory holds.
const AROUND_BINS_MAX: usize = 128;
/// A bin so near a harmonic of the shaft belongs to it: half the main lobe of a Hann window, less its skirt.
const SHAFT_BINS: f64 = 1.5;
/// The same as a share of the order: speeds are told to about a tenth of a per cent.
const SHAFT_SHARE: f64 = 0.003;

impl OrderSpectrum<'_> {
    /// The strongest line within `tolerance` (a share) of an order that is no harmonic of the shaft.
    #[must_use]
    pub fn line(&self, order: f64, tolerance: f64) -> Line {
        let exact = order * self.turns;
        let nearest = index(exact + 0.5);
        let low = index(libm::ceil(exact * (1.0 - tolerance))).min(nearest);
        let high = index(exact * (1.0 + tolerance)).max(nearest);
        let mut best: Option<(usize, f32)> = None;
        for bin in low.max(2)..=high {
            let Some([before, here, after]) = self
                .power
                .get(bin.saturating_sub(1)..=bin.saturating_add(1))
            else {
                break;
            };
            // A slope is the foot of a line elsewhere.
            let is_line = here >= before && here >= after;
            let stronger = best.is_none_or(|(_, power)| *here > power);
            if is_line && stronger && !self.on_shaft(float(bin)) {
                best = Some((bin, *here));
            }
        }
        let masked = self.on_shaft(exact);
        let Some((bin, power)) = best else {
            return Line {
                strength: 0.0,
                order,
                masked,
            };
        };
        let around = self.median_around(bin).max(self.floor);
        let strength = if around > 0.0 {
            libm::sqrt(f64::from(power / around))
        } else {
            0.0
        };
        Line {
            strength,
            order: float(bin) / self.turns,
            masked,
        }
    }

    /// Whether a place belongs to a whole multiple of shaft speed.
    fn on_shaft(&self, place: f64) -> bool {
        let harmonic = libm::round(place / self.turns);
        harmonic >= 1.0
            && (place - harmonic * self.turns).abs() <= SHAFT_BINS.max(SHAFT_SHARE * place)
    }

    /// Median power of the bins around one.
    fn median_around(&self, bin: usize) -> f32 {
        let width = index(AROUND_HZ * self.seconds).clamp(AROUND_BINS_MIN, AROUND_BINS_MAX);
        let mut scratch = [0.0_f32; 2 * AROUND_BINS_MAX + 1];
        let low = bin.saturating_sub(width).max(1);
        let high = bin
            .saturating_add(width)
            .min(self.power.len().saturating_sub(1));
        let Some(around) = self.power.get(low..=high) else {
            return 0.0;
        };
        let Some(scratch) = scratch.get_mut(..around.len()).filter(|s| !s.is_empty()) else {
            return 0.0;
        };
        scratch.copy_from_slice(around);
        let middle = scratch.len() / 2;
        *scratch.select_nth_unstable_by(middle, f32::total_cmp).1
    }
}
