//! Choices that can be repeated: all of them follow from one seed.

use dlm_random::Random;
use dlm_runtime::Mode;

/// A mode, the strong ones more often.
pub(crate) fn mode(random: &mut Random) -> Mode {
    *random.pick(&[Mode::Nl, Mode::Cr, Mode::Cw, Mode::Pr, Mode::Pw, Mode::Ex, Mode::Ex, Mode::Pr])
}

/// The seed from `DLM_SEED`, or another one each time.
pub(crate) fn seed() -> u64 {
    match std::env::var("DLM_SEED") {
        Ok(text) => text.parse().expect("DLM_SEED is a number"),
        Err(_) => {
            let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            // Short enough to copy by hand.
            u64::from(time.subsec_nanos()) ^ (time.as_secs() & 0xffff) << 16
        }
    }
}
