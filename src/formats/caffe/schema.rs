//! The messages of a net: names, numbers and types of their fields (Caffe's `caffe.proto`, with the fields of widely
//! used branches).

use super::message::{Message, Value};
use crate::formats::ImportError;
use crate::formats::wire::{Fields, Wire, varint};

/// More fields are refused, so that a small file cannot ask for much memory.
const MAX_FIELDS: usize = 1 << 20;

/// A field; number 0 stands for one that only text files have.
pub struct Field {
    pub name: &'static str,
    number: u64,
    kind: Kind,
}

pub enum Kind {
    Integer,
    Float,
    Text,
    Choice(&'static [(u64, &'static str)]),
    Nested(&'static [Field]),
    /// The bytes of a `BlobProto`.
    Blob,
    /// Known not to change what a net computes.
    Ignored,
}

use Kind::{Blob, Choice, Float, Ignored, Integer, Nested, Text};

const fn field(number: u64, name: &'static str, kind: Kind) -> Field {
    Field { name, number, kind }
}

/// Reads a binary message. Fields that the schema lacks are skipped; the first is remembered.
pub fn decode<'a>(bytes: &'a [u8], schema: &'static [Field]) -> Result<Message<'a>, ImportError> {
    decode_within(bytes, schema, &mut Budget(MAX_FIELDS))
}

/// How many more fields are read.
struct Budget(usize);

impl Budget {
    fn spend(&mut self) -> Result<(), ImportError> {
        let too_many = || ImportError::TooLarge(format!("the caffemodel has more than {MAX_FIELDS} fields"));
        self.0 = self.0.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }
}

fn decode_within<'a>(
    bytes: &'a [u8],
    schema: &'static [Field],
    fields: &mut Budget,
) -> Result<Message<'a>, ImportError> {
    let mut message = Message::default();
    for field in Fields::new(bytes) {
        let (number, wire) = field?;
        let Some(field) = schema.iter().find(|field| field.number == number) else {
            message.unknown.get_or_insert(number);
            continue;
        };
        let mut push = |value| {
            fields.spend()?;
            message.push(field.name, value);
            Ok::<_, ImportError>(())
        };
        match (&field.kind, wire) {
            (Ignored, _) => {}
            (Integer, Wire::Varint(number)) => push(integer(number))?,
            (Choice(words), Wire::Varint(number)) => push(choice(words, number))?,
            (Float, Wire::Fixed32(bits)) => push(Value::Scalar(f32::from_le_bytes(bits).to_string()))?,
            (Text, Wire::Bytes(text)) => push(Value::Scalar(String::from_utf8_lossy(text).into_owned()))?,
            (Blob, Wire::Bytes(blob)) => push(Value::Blob(blob))?,
            (Integer, Wire::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    push(integer(varint(&mut packed)?))?;
                }
            }
            (Float, Wire::Bytes(packed)) if packed.len().is_multiple_of(4) => {
                for bits in packed.as_chunks().0 {
                    push(Value::Scalar(f32::from_le_bytes(*bits).to_string()))?;
                }
            }
            (Nested(schema), Wire::Bytes(nested)) => {
                let nested = decode_within(nested, schema, fields)?;
                fields.spend()?;
                message.push(field.name, Value::Message(nested));
            }
            _ => return Err(ImportError::field(field.name, "it has not the type that Caffe gives it")),
        }
    }
    Ok(message)
}

/// Negative numbers are stored as 64 bits in two's complement.
fn integer(number: u64) -> Value<'static> {
    Value::Scalar(number.cast_signed().to_string())
}

fn choice(words: &[(u64, &'static str)], number: u64) -> Value<'static> {
    let word = words.iter().find(|(value, _)| *value == number).map(|&(_, word)| word.to_string());
    Value::Scalar(word.unwrap_or_else(|| number.to_string()))
}

const PHASE: &[(u64, &str)] = &[(0, "TRAIN"), (1, "TEST")];
const POOL: &[(u64, &str)] = &[(0, "MAX"), (1, "AVE"), (2, "STOCHASTIC")];

pub const SHAPE: &[Field] = &[field(1, "dim", Integer)];

pub const NET: &[Field] = &[
    field(1, "name", Text),
    field(2, "layers", Nested(V1_LAYER)),
    field(3, "input", Text),
    field(4, "input_dim", Integer),
    field(5, "force_backward", Ignored),
    field(6, "state", Nested(STATE)),
    field(7, "debug_info", Ignored),
    field(8, "input_shape", Nested(SHAPE)),
    field(100, "layer", Nested(LAYER)),
];

const STATE: &[Field] = &[field(1, "phase", Choice(PHASE)), field(2, "level", Integer), field(3, "stage", Text)];

const RULE: &[Field] = &[
    field(1, "phase", Choice(PHASE)),
    field(2, "min_level", Integer),
    field(3, "max_level", Integer),
    field(4, "stage", Text),
    field(5, "not_stage", Text),
];

const LAYER: &[Field] = &[
    field(1, "name", Text),
    field(2, "type", Text),
    field(3, "bottom", Text),
    field(4, "top", Text),
    field(7, "blobs", Blob),
    field(8, "include", Nested(RULE)),
    field(9, "exclude", Nested(RULE)),
    field(100, "transform_param", Nested(TRANSFORM)),
    field(104, "concat_param", Nested(CONCAT)),
    field(106, "convolution_param", Nested(CONVOLUTION)),
    field(107, "data_param", Nested(DATA)),
    field(108, "dropout_param", Nested(DROPOUT)),
    field(109, "dummy_data_param", Nested(DUMMY_DATA)),
    field(110, "eltwise_param", Nested(ELTWISE)),
    field(115, "image_data_param", Nested(IMAGE_DATA)),
    field(117, "inner_product_param", Nested(INNER_PRODUCT)),
    field(118, "lrn_param", Nested(LRN)),
    field(119, "memory_data_param", Nested(MEMORY_DATA)),
    field(120, "mvn_param", Nested(MVN)),
    field(121, "pooling_param", Nested(POOLING)),
    field(122, "power_param", Nested(POWER)),
    field(123, "relu_param", Nested(RELU)),
    field(125, "softmax_param", Nested(SOFTMAX)),
    field(126, "slice_param", Nested(SLICE)),
    field(129, "window_data_param", Nested(WINDOW_DATA)),
    field(131, "prelu_param", Nested(PRELU)),
    field(133, "reshape_param", Nested(RESHAPE)),
    field(135, "flatten_param", Nested(FLATTEN)),
    field(139, "batch_norm_param", Nested(BATCH_NORM)),
    field(140, "elu_param", Nested(ELU)),
    field(141, "bias_param", Nested(BIAS)),
    field(142, "scale_param", Nested(SCALE)),
    field(143, "input_param", Nested(INPUT)),
    field(144, "crop_param", Nested(CROP)),
    field(147, "swish_param", Nested(SWISH)),
    field(148, "clip_param", Nested(CLIP)),
    field(202, "permute_param", Nested(PERMUTE)),
];

const V1_LAYER: &[Field] = &[
    field(1, "layer", Nested(V0_LAYER)),
    field(2, "bottom", Text),
    field(3, "top", Text),
    field(4, "name", Text),
    field(5, "type", Choice(V1_TYPE)),
    field(6, "blobs", Blob),
    field(9, "concat_param", Nested(CONCAT)),
    field(10, "convolution_param", Nested(CONVOLUTION)),
    field(11, "data_param", Nested(DATA)),
    field(12, "dropout_param", Nested(DROPOUT)),
    field(15, "image_data_param", Nested(IMAGE_DATA)),
    field(17, "inner_product_param", Nested(INNER_PRODUCT)),
    field(18, "lrn_param", Nested(LRN)),
    field(19, "pooling_param", Nested(POOLING)),
    field(20, "window_data_param", Nested(WINDOW_DATA)),
    field(21, "power_param", Nested(POWER)),
    field(22, "memory_data_param", Nested(MEMORY_DATA)),
    field(24, "eltwise_param", Nested(ELTWISE)),
    field(26, "dummy_data_param", Nested(DUMMY_DATA)),
    field(30, "relu_param", Nested(RELU)),
    field(31, "slice_param", Nested(SLICE)),
    field(32, "include", Nested(RULE)),
    field(33, "exclude", Nested(RULE)),
    field(34, "mvn_param", Nested(MVN)),
    field(36, "transform_param", Nested(TRANSFORM)),
    field(39, "softmax_param", Nested(SOFTMAX)),
];

const V1_TYPE: &[(u64, &str)] = &[
    (0, "NONE"),
    (1, "ACCURACY"),
    (2, "BNLL"),
    (3, "CONCAT"),
    (4, "CONVOLUTION"),
    (5, "DATA"),
    (6, "DROPOUT"),
    (7, "EUCLIDEAN_LOSS"),
    (8, "FLATTEN"),
    (9, "HDF5_DATA"),
    (10, "HDF5_OUTPUT"),
    (11, "IM2COL"),
    (12, "IMAGE_DATA"),
    (13, "INFOGAIN_LOSS"),
    (14, "INNER_PRODUCT"),
    (15, "LRN"),
    (16, "MULTINOMIAL_LOGISTIC_LOSS"),
    (17, "POOLING"),
    (18, "RELU"),
    (19, "SIGMOID"),
    (20, "SOFTMAX"),
    (21, "SOFTMAX_LOSS"),
    (22, "SPLIT"),
    (23, "TANH"),
    (24, "WINDOW_DATA"),
    (25, "ELTWISE"),
    (26, "POWER"),
    (27, "SIGMOID_CROSS_ENTROPY_LOSS"),
    (28, "HINGE_LOSS"),
    (29, "MEMORY_DATA"),
    (30, "ARGMAX"),
    (31, "THRESHOLD"),
    (32, "DUMMY_DATA"),
    (33, "SLICE"),
    (34, "MVN"),
    (35, "ABSVAL"),
    (36, "SILENCE"),
    (37, "CONTRASTIVE_LOSS"),
    (38, "EXP"),
    (39, "DECONVOLUTION"),
];

const V0_LAYER: &[Field] = &[
    field(1, "name", Text),
    field(2, "type", Text),
    field(3, "num_output", Integer),
    field(4, "biasterm", Integer),
    field(7, "pad", Integer),
    field(8, "kernelsize", Integer),
    field(9, "group", Integer),
    field(10, "stride", Integer),
    field(11, "pool", Choice(POOL)),
    field(12, "dropout_ratio", Float),
    field(13, "local_size", Integer),
    field(14, "alpha", Float),
    field(15, "beta", Float),
    field(17, "scale", Float),
    field(18, "meanfile", Text),
    field(20, "cropsize", Integer),
    field(22, "k", Float),
    field(50, "blobs", Blob),
    field(62, "new_height", Integer),
    field(63, "new_width", Integer),
    field(65, "concat_dim", Integer),
];

const TRANSFORM: &[Field] = &[
    field(1, "scale", Float),
    field(2, "mirror", Ignored),
    field(3, "crop_size", Integer),
    field(4, "mean_file", Text),
    field(5, "mean_value", Float),
    field(6, "force_color", Integer),
    field(7, "force_gray", Integer),
    field(11, "crop_h", Integer),
    field(12, "crop_w", Integer),
];

const DATA: &[Field] = &[field(2, "scale", Float), field(3, "mean_file", Text), field(5, "crop_size", Integer)];

const IMAGE_DATA: &[Field] = &[
    field(2, "scale", Float),
    field(3, "mean_file", Text),
    field(5, "crop_size", Integer),
    field(9, "new_height", Integer),
    field(10, "new_width", Integer),
    field(11, "is_color", Integer),
];

const WINDOW_DATA: &[Field] = &[field(2, "scale", Float), field(3, "mean_file", Text), field(5, "crop_size", Integer)];

const MEMORY_DATA: &[Field] = &[field(2, "channels", Integer), field(3, "height", Integer), field(4, "width", Integer)];

const DUMMY_DATA: &[Field] = &[
    field(2, "num", Integer),
    field(3, "channels", Integer),
    field(4, "height", Integer),
    field(5, "width", Integer),
    field(6, "shape", Nested(SHAPE)),
];

const INPUT: &[Field] = &[field(1, "shape", Nested(SHAPE))];

pub const CONVOLUTION: &[Field] = &[
    field(1, "num_output", Integer),
    field(2, "bias_term", Integer),
    field(3, "pad", Integer),
    field(4, "kernel_size", Integer),
    field(5, "group", Integer),
    field(6, "stride", Integer),
    field(7, "weight_filler", Ignored),
    field(8, "bias_filler", Ignored),
    field(9, "pad_h", Integer),
    field(10, "pad_w", Integer),
    field(11, "kernel_h", Integer),
    field(12, "kernel_w", Integer),
    field(13, "stride_h", Integer),
    field(14, "stride_w", Integer),
    field(15, "engine", Ignored),
    field(16, "axis", Integer),
    field(17, "force_nd_im2col", Ignored),
    field(18, "dilation", Integer),
];

pub const INNER_PRODUCT: &[Field] = &[
    field(1, "num_output", Integer),
    field(2, "bias_term", Integer),
    field(3, "weight_filler", Ignored),
    field(4, "bias_filler", Ignored),
    field(5, "axis", Integer),
    field(6, "transpose", Integer),
];

pub const POOLING: &[Field] = &[
    field(1, "pool", Choice(POOL)),
    field(2, "kernel_size", Integer),
    field(3, "stride", Integer),
    field(4, "pad", Integer),
    field(5, "kernel_h", Integer),
    field(6, "kernel_w", Integer),
    field(7, "stride_h", Integer),
    field(8, "stride_w", Integer),
    field(9, "pad_h", Integer),
    field(10, "pad_w", Integer),
    field(11, "engine", Ignored),
    field(12, "global_pooling", Integer),
    field(13, "round_mode", Choice(&[(0, "CEIL"), (1, "FLOOR")])),
    field(0, "ceil_mode", Integer),
];

pub const LRN: &[Field] = &[
    field(1, "local_size", Integer),
    field(2, "alpha", Float),
    field(3, "beta", Float),
    field(4, "norm_region", Choice(&[(0, "ACROSS_CHANNELS"), (1, "WITHIN_CHANNEL")])),
    field(5, "k", Float),
    field(6, "engine", Ignored),
];

pub const DROPOUT: &[Field] = &[field(1, "dropout_ratio", Float), field(2, "scale_train", Integer)];
pub const CONCAT: &[Field] = &[field(1, "concat_dim", Integer), field(2, "axis", Integer)];
pub const SLICE: &[Field] =
    &[field(1, "slice_dim", Integer), field(2, "slice_point", Integer), field(3, "axis", Integer)];
pub const ELTWISE: &[Field] = &[
    field(1, "operation", Choice(&[(0, "PROD"), (1, "SUM"), (2, "MAX")])),
    field(2, "coeff", Float),
    field(3, "stable_prod_grad", Ignored),
];
pub const RELU: &[Field] = &[field(1, "negative_slope", Float), field(2, "engine", Ignored)];
pub const PRELU: &[Field] = &[field(1, "filler", Ignored), field(2, "channel_shared", Integer)];
pub const ELU: &[Field] = &[field(1, "alpha", Float)];
pub const SWISH: &[Field] = &[field(1, "beta", Float)];
pub const CLIP: &[Field] = &[field(1, "min", Float), field(2, "max", Float)];
pub const POWER: &[Field] = &[field(1, "power", Float), field(2, "scale", Float), field(3, "shift", Float)];
pub const SOFTMAX: &[Field] = &[field(1, "engine", Ignored), field(2, "axis", Integer)];
pub const MVN: &[Field] =
    &[field(1, "normalize_variance", Integer), field(2, "across_channels", Integer), field(3, "eps", Float)];
pub const BATCH_NORM: &[Field] = &[
    field(1, "use_global_stats", Ignored),
    field(2, "moving_average_fraction", Ignored),
    field(3, "eps", Float),
    field(0, "engine", Ignored),
];
pub const SCALE: &[Field] = &[
    field(1, "axis", Integer),
    field(2, "num_axes", Integer),
    field(3, "filler", Ignored),
    field(4, "bias_term", Integer),
    field(5, "bias_filler", Ignored),
];
pub const BIAS: &[Field] = &[field(1, "axis", Integer), field(2, "num_axes", Integer), field(3, "filler", Ignored)];
pub const FLATTEN: &[Field] = &[field(1, "axis", Integer), field(2, "end_axis", Integer)];
pub const RESHAPE: &[Field] =
    &[field(1, "shape", Nested(SHAPE)), field(2, "axis", Integer), field(3, "num_axes", Integer)];
pub const CROP: &[Field] = &[field(1, "axis", Integer), field(2, "offset", Integer)];
pub const PERMUTE: &[Field] = &[field(1, "order", Integer)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_message_reads_as_its_text_would() {
        let layer = b"\x0a\x05conv1\x12\x0bConvolution\xd2\x06\x0a\x08\x14\x10\x00\x1a\x02\x01\x02\x20\x05\x1a\x02ab";
        let layer = decode(layer, LAYER).unwrap();
        assert_eq!((layer.text("name"), layer.text("type")), (Some("conv1"), Some("Convolution")));
        let params = layer.message("convolution_param").unwrap();
        assert_eq!(params.integer::<usize>("num_output"), Ok(Some(20)));
        assert_eq!(params.flag("bias_term", true), Ok(false));
        assert_eq!(params.integers::<usize>("pad"), Ok(vec![1, 2]));
        assert_eq!(layer.strings("bottom"), ["ab"]);
        assert_eq!((layer.unknown, params.unknown), (None, None));
    }

    #[test]
    fn choices_and_negative_numbers_become_words_and_signs() {
        let pooling = decode(b"\x08\x01\x98\x06\x01", POOLING).unwrap();
        assert_eq!((pooling.text("pool"), pooling.unknown), (Some("AVE"), Some(99)));
        assert!(pooling.expect_known("pooling_param", POOLING).unwrap_err().contains("field number 99"));
        let axis = decode(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", CONCAT).unwrap();
        assert_eq!(axis.integer::<i64>("axis"), Ok(Some(-1)));
        assert!(decode(b"\x12\x02ab", POOLING).is_ok());
        assert!(decode(b"\x0a\x02ab", POOLING).is_err());
    }
}
