//! Envelopes of simulated sources: right ones, and on request wrong ones, as damage or a forger would send them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use appliance_desk::wall_time;
use drivers_mqtt::envelope::Sealer;
use drivers_mqtt::{CheckConfig, Secret};
use ring::rand::{SecureRandom as _, SystemRandom};
use rules_bundle::{CheckPlan, EnvelopePlan, LinkPlan, Plan, WaveformSource};
use tempfile::TempDir;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// The key of this test, in a folder that goes with it, and one that is not it.
pub(super) struct Keys {
    folder: TempDir,
    right: [u8; KEY_BYTES],
    wrong: [u8; KEY_BYTES],
}

impl Keys {
    pub(super) fn new() -> io::Result<Self> {
        let random = SystemRandom::new();
        let mut keys = Self {
            folder: tempfile::Builder::new()
                .prefix("tripline-prooftest-keys-")
                .tempdir()?,
            right: [0; KEY_BYTES],
            wrong: [0; KEY_BYTES],
        };
        for key in [&mut keys.right, &mut keys.wrong] {
            random
                .fill(key)
                .map_err(|_| io::Error::other("no random numbers for a key"))?;
        }
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(keys.place())?;
        let hex: String = keys
            .right
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        file.write_all(hex.as_bytes())?;
        Ok(keys)
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("envelope.key")
    }

    /// Every envelope of the plan that has a key has this one: the machine's own is not touched.
    pub(super) fn rewrite(&self, plan: &mut Plan) {
        let place = self.place().to_string_lossy().into_owned();
        let rekey = |envelope: &mut Option<EnvelopePlan>| {
            if let Some(EnvelopePlan {
                check: CheckPlan::HmacSha256 { key_file },
                ..
            }) = envelope
            {
                key_file.clone_from(&place);
            }
        };
        for lane in &mut plan.lanes {
            for device in &mut lane.devices {
                if let LinkPlan::Mqtt(mqtt) = &mut device.link {
                    for subscription in &mut mqtt.subscriptions {
                        rekey(&mut subscription.envelope);
                    }
                }
            }
            for wave in &mut lane.waveforms {
                if let WaveformSource::Mqtt { envelope, .. } = &mut wave.source {
                    rekey(envelope);
                }
            }
        }
    }
}

/// What wraps the messages of one topic.
pub(super) struct Letters {
    right: Sealer,
    wrong: Sealer,
    /// Without a key a wrong one is a damaged one.
    damages: bool,
}

impl Letters {
    pub(super) fn new(topic: &str, plan: &EnvelopePlan, keys: &Keys) -> io::Result<Self> {
        let check = |key: &[u8; KEY_BYTES]| match plan.check {
            CheckPlan::Crc32c => CheckConfig::Crc32c,
            CheckPlan::HmacSha256 { .. } => CheckConfig::HmacSha256 {
                key: Secret::new(key.to_vec()),
            },
        };
        let sealer = |key| {
            Sealer::new(topic, &plan.source, &check(key))
                .map_err(|error| io::Error::other(error.to_string()))
        };
        Ok(Self {
            right: sealer(&keys.right)?,
            // It counts by itself: when it is over, the source goes on without a gap.
            wrong: sealer(&keys.wrong)?,
            damages: plan.check == CheckPlan::Crc32c,
        })
    }

    pub(super) fn seal(&mut self, payload: &[u8], wrong: bool) -> Vec<u8> {
        let now = wall_time::now_ns();
        if !wrong {
            return self.right.seal(now, payload);
        }
        let mut message = self.wrong.seal(now, payload);
        if let Some(last) = message.last_mut().filter(|_| self.damages) {
            *last ^= 1;
        }
        message
    }
}
