use oneiric::base::simd::Level;
use oneiric::nn::ops::conv::frozen::*;
use oneiric::nn::ops::conv::maps::*;
use oneiric::nn::ops::window::*;
use std::time::Instant;
fn main() {
    let level = Level::active();
    println!("{level:?}");
    for (ins, outs, k, s, size, groups) in [
        (32, 32, 3, 1, 64, 32),
        (96, 96, 3, 1, 32, 96),
        (96, 96, 5, 1, 32, 96),
        (96, 96, 3, 2, 32, 96),
        (64, 64, 3, 1, 128, 1),
        (256, 256, 3, 1, 32, 1),
        (512, 512, 3, 1, 32, 1),
        (64, 256, 1, 1, 64, 1),
        (256, 64, 1, 1, 64, 1),
        (1024, 256, 1, 1, 32, 1),
        (256, 1024, 1, 1, 32, 1),
        (3, 64, 7, 2, 256, 1),
        (3, 64, 3, 1, 256, 1),
        (128, 128, 3, 2, 64, 1),
        (24, 144, 1, 1, 128, 1),
        (144, 24, 1, 1, 128, 1),
        (32, 32, 3, 1, 256, 32),
        (144, 144, 3, 1, 128, 144),
        (240, 240, 5, 1, 64, 240),
        (240, 240, 3, 2, 64, 240),
    ] {
        let window = Window::square(k, s).padded(Padding::SameUpper);
        let axes = window.resolve([size, size]).unwrap();
        let w = vec![0.01f32; outs * ins / groups * k * k];
        let spec = Spec {
            kernel: [k, k],
            stride: [s, s],
            dilation: [1, 1],
            groups,
            in_channels: ins,
            out_channels: outs,
            transposed: false,
            weight: &w,
            bias: vec![0.0; outs],
        };
        let conv = FrozenConv::new(level, &spec, true);
        let lattices = conv.lattices(&axes);
        let o = axes[0].output;
        let mut x = vec![0.5f32; size * size * ins + 64];
        let mut y = vec![0.5f32; o * o * outs + 64];
        let src = Source { data: x.as_ptr(), batch: 1, height: size, width: size, pixel_stride: ins };
        let dst = Target { data: y.as_mut_ptr(), height: o, width: o, pixel_stride: outs, finish: Finish::NONE };
        let src2 = Source { data: y.as_ptr(), batch: 1, height: o, width: o, pixel_stride: outs };
        let dst2 = Target { data: x.as_mut_ptr(), height: size, width: size, pixel_stride: ins, finish: Finish::NONE };
        let flop = 2.0 * (o * o * outs * ins / groups * k * k) as f64;
        let mut best = [f64::MAX; 2];
        for _ in 0..12 {
            let t = Instant::now();
            unsafe { conv.forward(&lattices, src, dst) };
            best[0] = best[0].min(t.elapsed().as_secs_f64());
            let t = Instant::now();
            unsafe { conv.backward(&lattices, src2, dst2) };
            best[1] = best[1].min(t.elapsed().as_secs_f64());
        }
        println!(
            "{ins:4}->{outs:4} {k}x{k}/{s} @{size:3} g{groups}: fwd {:7.3} ms {:6.1} GF/s   bwd {:7.3} ms {:6.1} GF/s",
            best[0] * 1e3,
            flop / best[0] / 1e9,
            best[1] * 1e3,
            flop / best[1] / 1e9
        );
    }
}
