//! What arrives with a media session's keys or without them: a stranger's packet opens nothing and changes nothing, a sealed one
//! opens once and to what it was.

use sfu::rtp::Header;
use sfu::srtp::{Keying, Opener, Profile, Sealer};

pub(crate) fn run(bytes: &[u8]) {
    let Some(([flags, at, flip], packet)) = bytes.split_first_chunk::<3>() else { return };
    let profile = if flags & 1 == 0 { Profile::AeadAes128Gcm } else { Profile::Aes128CmHmacSha1_80 };
    let material: Vec<u8> = (0..profile.keying_material_len()).map(|byte| byte as u8).collect();
    let keying = Keying::split(profile, &material).expect("keys");
    let mut opener = Opener::new(&keying, true).expect("an opener");
    let mut sealer = Sealer::new(&keying, false).expect("a sealer");

    let mut forged = packet.to_vec();
    assert!(opener.open_rtcp(&mut forged).is_err(), "a stranger's report opens");
    let mut forged = packet.to_vec();
    if let Some(header) = Header::parse(packet) {
        assert!(opener.open_rtp(&mut forged, header.header_len).is_err(), "a stranger's packet opens");
        media(&mut opener, &mut sealer, packet, header.header_len, (*at, *flip));
    }
    if packet.len() >= 8 {
        report(&mut opener, &mut sealer, packet, (*at, *flip));
    }
}

fn media(opener: &mut Opener, sealer: &mut Sealer, plain: &[u8], header: usize, change: (u8, u8)) {
    let mut sealed = plain.to_vec();
    sealed.resize(plain.len() + sealer.overhead(), 0);
    let Ok(length) = sealer.seal_rtp(&mut sealed, plain.len(), header, 0) else { return };
    assert_eq!(length, sealed.len());
    if let Some(mut forged) = changed(&sealed, change)
        && let Some(header) = Header::parse(&forged)
    {
        assert!(opener.open_rtp(&mut forged, header.header_len).is_err(), "a changed packet opens");
    }
    let mut again = sealed.clone();
    let opened = opener.open_rtp(&mut sealed, header).expect("what was sealed opens");
    assert_eq!(sealed.get(..opened), Some(plain));
    assert!(opener.open_rtp(&mut again, header).is_err(), "and only once");
}

fn report(opener: &mut Opener, sealer: &mut Sealer, plain: &[u8], change: (u8, u8)) {
    let mut sealed = plain.to_vec();
    sealed.resize(plain.len() + sealer.rtcp_overhead(), 0);
    let Ok(length) = sealer.seal_rtcp(&mut sealed, plain.len()) else { return };
    assert_eq!(length, sealed.len());
    if let Some(mut forged) = changed(&sealed, change) {
        assert!(opener.open_rtcp(&mut forged).is_err(), "a changed report opens");
    }
    let mut again = sealed.clone();
    let opened = opener.open_rtcp(&mut sealed).expect("what was sealed opens");
    assert_eq!(sealed.get(..opened), Some(plain));
    assert!(opener.open_rtcp(&mut again).is_err(), "and only once");
}

/// With one byte of it changed.
fn changed(packet: &[u8], (at, flip): (u8, u8)) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let at = usize::from(at) % packet.len().max(1);
    *packet.get_mut(at)? ^= flip;
    (flip != 0).then_some(packet)
}
