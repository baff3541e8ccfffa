//! Memory while an artist drags to and fro through a long take.

use wan_alpha_take::TakeRequest;
use wan_alpha_take::store::Store;
use wan_alpha_test_host::{Profile, RenderAsk};

use crate::drawn::{draw, show, time_of, wanted};
use crate::workshop::{alone, descriptors, resident};

/// Together more than the plug-in keeps in memory.
const SIZE: [u32; 2] = [832, 480];
const FRAMES: u32 = 65;

/// What may come and go with buffers of the host and of the allocator.
const SLACK: usize = 16 << 20;

alone! {
    fn scrubbing_takes_no_more_memory_than_playing(workshop) {
        let (host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = TakeRequest { frames: FRAMES, ..longer(wanted(workshop, &node)) };
        let take = draw(workshop, &like, 7, SIZE, &|frame, u, _| [u, 0.5, frame as f32 / 64.0, 1.0]);
        let all = (SIZE[0] * SIZE[1] * 8 * FRAMES) as usize;
        assert!(all > Store::CACHE_BYTES + SLACK);
        show(&node, &take);
        let before = resident();
        let mut random = fastrand::Rng::with_seed(7);
        let mut scrub = |renders: u32| {
            for _ in 0..renders {
                let frame = random.u32(..FRAMES);
                // A corner will do: the whole frame is read for it.
                let ask = RenderAsk {
                    bounds: Some([960, 540, 976, 549]),
                    ..RenderAsk::at(time_of(&node, frame))
                };
                let blue = node.render(&ask).pixel(970, 545)[2];
                assert!((blue - frame as f32 / 64.0).abs() < 1e-3, "frame {frame}");
            }
            host.world_changed();
        };
        scrub(300);
        let (full, open) = (resident(), descriptors());
        assert!(full < before + Store::CACHE_BYTES + SLACK, "{before} bytes became {full}");
        scrub(2000);
        let after = resident();
        assert!(after < full + SLACK / 4, "{full} bytes became {after}");
        assert_eq!(descriptors(), open);
        println!("scrubbing: {} MB, then {} MB, then {} MB", before >> 20, full >> 20, after >> 20);
    }
}

/// With a place and a strength for each latent frame of a longer take.
fn longer(request: TakeRequest) -> TakeRequest {
    let latent_frames = TakeRequest::latent_frames_of(FRAMES).unwrap();
    TakeRequest {
        ellipse: vec![request.ellipse[0]; latent_frames],
        mu: vec![request.mu[0]; latent_frames],
        ..request
    }
}
