//! How ESP encrypts (RFC 4303): AES-GCM (RFC 4106), or AES-CBC (RFC 3602) with HMAC-SHA-2 (RFC 4868).

use crate::args::Args;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hmac::{Hmac, Mac};
use sha2::Sha256;
#[cfg(feature = "host")]
use sha2::Sha512;

/// Bytes of SPI and sequence number.
pub const ESP: usize = 8;
/// Bytes of a block of AES, and of GCM's tag.
const BLOCK: usize = 16;
/// Bytes of GCM's salt, which follows its key, and of its initialisation vector.
const SALT: usize = 4;
const GCM_IV: usize = 8;

/// AES with one of two lengths of keys.
enum Aes {
    Short(Box<Aes128>),
    Long(Box<Aes256>),
}

impl Aes {
    fn encrypt(&self, block: &mut [u8; BLOCK]) {
        let block = GenericArray::from_mut_slice(block);
        match self {
            Self::Short(aes) => aes.encrypt_block(block),
            Self::Long(aes) => aes.encrypt_block(block),
        }
    }

    fn decrypt(&self, block: &mut [u8; BLOCK]) {
        let block = GenericArray::from_mut_slice(block);
        match self {
            Self::Short(aes) => aes.decrypt_block(block),
            Self::Long(aes) => aes.decrypt_block(block),
        }
    }
}

enum Gcm {
    Short(Box<Aes128Gcm>),
    Long(Box<Aes256Gcm>),
}

enum Sha {
    Short(Box<Hmac<Sha256>>),
    /// Guests do without: it is 17 KiB of their image.
    #[cfg(feature = "host")]
    Long(Box<Hmac<Sha512>>),
}

impl Sha {
    /// Bytes of what is kept of a digest: half of it.
    fn length(&self) -> usize {
        match self {
            Self::Short(_) => 16,
            #[cfg(feature = "host")]
            Self::Long(_) => 32,
        }
    }

    fn digest(&self, message: &[u8]) -> [u8; 32] {
        let mut kept = [0; 32];
        match self {
            Self::Short(mac) => {
                let digest = (**mac).clone().chain_update(message).finalize().into_bytes();
                kept.copy_from_slice(&digest);
            }
            #[cfg(feature = "host")]
            Self::Long(mac) => {
                let digest = (**mac).clone().chain_update(message).finalize().into_bytes();
                kept.copy_from_slice(&digest[..32]);
            }
        }
        kept
    }
}

/// A way to encrypt, with its keys.
pub enum Suite {
    /// AES-GCM with a tag of 16 bytes.
    Gcm(GcmKeys),
    /// AES-CBC, and a digest over all of it.
    Cbc(CbcKeys),
}

pub struct GcmKeys {
    gcm: Gcm,
    salt: [u8; SALT],
}

pub struct CbcKeys {
    aes: Aes,
    sha: Sha,
}

/// Bytes of a key, `0x` and hexadecimal digits.
fn bytes(args: &mut Args<'_>, name: &str) -> Option<Vec<u8>> {
    let text: String = args.key(name)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let pair = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
    let even = digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let key = if even { digits.as_bytes().chunks(2).map(pair).collect() } else { None };
    if key.is_none() {
        args.error(format!("{name}: expected hexadecimal digits, two for each byte"));
    }
    key
}

impl Suite {
    /// The arguments `KEY` and `AUTH_KEY`: with the latter it is AES-CBC.
    pub fn new(args: &mut Args<'_>) -> Option<Self> {
        if !args.has("KEY") {
            args.error("missing mandatory KEY argument");
        }
        let key = bytes(args, "KEY");
        if !args.has("AUTH_KEY") {
            let suite = Self::gcm(&key?);
            if suite.is_none() {
                args.error("KEY: AES-GCM takes a key of 16 or 32 bytes and a salt of 4 behind it");
            }
            return suite;
        }
        let auth = bytes(args, "AUTH_KEY");
        let suite = Self::cbc(&key?, &auth?);
        if suite.is_none() {
            args.error("KEY has 16 or 32 bytes, and AUTH_KEY 32 (SHA-256) or, on a host, 64 (SHA-512)");
        }
        suite
    }

    fn gcm(key: &[u8]) -> Option<Self> {
        let (key, salt) = key.split_last_chunk::<SALT>()?;
        let gcm = match key.len() {
            16 => Gcm::Short(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            32 => Gcm::Long(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self::Gcm(GcmKeys { gcm, salt: *salt }))
    }

    fn cbc(key: &[u8], auth: &[u8]) -> Option<Self> {
        let aes = match key.len() {
            16 => Aes::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            32 => Aes::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        };
        let sha = match auth.len() {
            32 => Sha::Short(Box::new(<Hmac<Sha256> as Mac>::new_from_slice(auth).ok()?)),
            #[cfg(feature = "host")]
            64 => Sha::Long(Box::new(<Hmac<Sha512> as Mac>::new_from_slice(auth).ok()?)),
            _ => return None,
        };
        Some(Self::Cbc(CbcKeys { aes, sha }))
    }

    /// Bytes of the initialisation vector.
    pub fn iv(&self) -> usize {
        match self {
            Self::Gcm(_) => GCM_IV,
            Self::Cbc(_) => BLOCK,
        }
    }

    /// Bytes of what proves that a packet is genuine.
    pub fn icv(&self) -> usize {
        match self {
            Self::Gcm(_) => BLOCK,
            Self::Cbc(keys) => keys.sha.length(),
        }
    }

    /// What the length of encrypted bytes is a multiple of.
    pub fn block(&self) -> usize {
        match self {
            Self::Gcm(_) => 4,
            Self::Cbc(_) => BLOCK,
        }
    }

    /// Encrypts what begins with SPI and sequence number, has room for the initialisation vector behind that, and for the
    /// proof at its end. `number` is never the same twice under a key. `None`: it is too short or too long.
    pub fn seal(&self, esp: &mut [u8], number: u64) -> Option<()> {
        let (head, rest) = esp.split_at_mut_checked(ESP)?;
        let (vector, rest) = rest.split_at_mut_checked(self.iv())?;
        let end = rest.len().checked_sub(self.icv())?;
        match self {
            Self::Gcm(keys) => {
                let (data, proof) = rest.split_at_mut(end);
                vector.copy_from_slice(&number.to_be_bytes());
                let nonce = keys.nonce(vector);
                let nonce = GenericArray::from_slice(&nonce);
                let tag = match &keys.gcm {
                    Gcm::Short(gcm) => gcm.encrypt_in_place_detached(nonce, head, data),
                    Gcm::Long(gcm) => gcm.encrypt_in_place_detached(nonce, head, data),
                };
                proof.copy_from_slice(&tag.ok()?);
            }
            Self::Cbc(keys) => {
                // Nobody can foresee the encryption of a number (NIST SP 800-38A, appendix C).
                let mut last = [0; BLOCK];
                last[..8].copy_from_slice(&number.to_be_bytes());
                keys.aes.encrypt(&mut last);
                vector.copy_from_slice(&last);
                for block in rest[..end].as_chunks_mut::<BLOCK>().0 {
                    block.iter_mut().zip(last).for_each(|(byte, with)| *byte ^= with);
                    keys.aes.encrypt(block);
                    last = *block;
                }
                let whole = esp.len() - self.icv();
                let digest = keys.sha.digest(&esp[..whole]);
                esp[whole..].copy_from_slice(&digest[..self.icv()]);
            }
        }
        Some(())
    }

    /// Decrypts the same in place; where the data lie. `None`: it is not genuine.
    pub fn open(&self, esp: &mut [u8]) -> Option<core::ops::Range<usize>> {
        let begin = ESP + self.iv();
        let end = esp.len().checked_sub(self.icv()).filter(|end| *end >= begin)?;
        if !(end - begin).is_multiple_of(self.block()) {
            return None;
        }
        match self {
            Self::Gcm(keys) => {
                let (head, rest) = esp.split_at_mut(ESP);
                let (vector, rest) = rest.split_at_mut(GCM_IV);
                let (data, proof) = rest.split_at_mut(end - begin);
                let nonce = keys.nonce(vector);
                let (nonce, tag) = (GenericArray::from_slice(&nonce), GenericArray::from_slice(proof));
                match &keys.gcm {
                    Gcm::Short(gcm) => gcm.decrypt_in_place_detached(nonce, head, data, tag),
                    Gcm::Long(gcm) => gcm.decrypt_in_place_detached(nonce, head, data, tag),
                }
                .ok()?;
            }
            Self::Cbc(keys) => {
                let digest = keys.sha.digest(&esp[..end]);
                // As long as it takes, whatever differs.
                let differs = digest.iter().zip(&esp[end..]).fold(0, |sum, (a, b)| sum | (a ^ b));
                if differs != 0 {
                    return None;
                }
                let mut last: [u8; BLOCK] = *esp[ESP..].first_chunk()?;
                for block in esp[begin..end].as_chunks_mut::<BLOCK>().0 {
                    let encrypted = *block;
                    keys.aes.decrypt(block);
                    block.iter_mut().zip(last).for_each(|(byte, with)| *byte ^= with);
                    last = encrypted;
                }
            }
        }
        Some(begin..end)
    }
}

impl GcmKeys {
    fn nonce(&self, vector: &[u8]) -> [u8; SALT + GCM_IV] {
        core::array::from_fn(|n| if n < SALT { self.salt[n] } else { vector[n - SALT] })
    }
}
