//! Reproducible noise: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
//!
//! Not for secrets. Same seed, same sequence, on every host.

/// A seeded generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noise(u64);

impl Noise {
    /// A generator whose whole sequence follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in 0.0 (included) to 1.0 (excluded): the upper 53 bits, which a binary64 holds exactly.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Bell-shaped, mean 0, standard deviation 1, never beyond ±3.47: the sum of four uniforms (each has variance
    /// 1/12). The bound is wanted: a healthy machine must not trip once a week on the tail of a normal distribution.
    pub fn bell(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 3.0_f64.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // First outputs of SplitMix64 for seed 1234567, as printed with the reference implementation in C.
        let mut noise = Noise::new(1_234_567);
        assert_eq!(noise.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(noise.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bell_has_mean_zero_deviation_one_and_a_bound() {
        let mut noise = Noise::new(7);
        let draws: Vec<f64> = (0..20_000).map(|_| noise.bell()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.05, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        assert!(draws.iter().all(|x| x.abs() <= 3.47));
    }
}
