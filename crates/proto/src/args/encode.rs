//! Values to the JSON of arguments, with bytes set aside as attachments.

use std::io;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::ser::Formatter;

use super::Args;
use super::plain::plain_len;
use crate::error::EncodeError;
use crate::socket::placeholder;
use crate::ws::frame::{self, Opcode};

/// What can be sent as the arguments of an event or as the answer of an ack.
///
/// A tuple is several arguments, `()` is none, and everything else that `serde` can write is one. An array of
/// fixed size is a tuple to `serde`, and so several arguments; a `Vec` or a slice is one.
///
/// | what is sent | what JavaScript is given |
/// |---|---|
/// | `()` | `()` |
/// | `5` | `(5)` |
/// | `(1, "b")` | `(1, "b")` |
/// | `[1, 2]` | `(1, 2)` |
/// | `vec![1, 2]`, `&[1, 2][..]` | `([1, 2])` |
/// | `([1, 2],)`, `((1, 2),)` | `([1, 2])` |
/// | `None::<u8>`, `serde_json::Value::Null` | `(null)` |
/// | `Ok::<_, ()>(1)`, `Err::<(), _>("no")` | `({ ok: 1 })`, `({ error: "no" })` |
///
/// An answer is written in the same way, and `emitWithAck` of JavaScript gives only its first argument: answer
/// `((a, b),)`, a `Vec` or a struct there. How an answer is read is said at
/// [`FromArg::from_answer`](super::FromArg::from_answer).
///
/// Wherever a value writes itself as bytes ([`Bytes`], `serde_bytes`), they travel as a binary attachment.
/// [`Args`] are passed on as they came.
///
/// ```
/// # use roomful_proto::Args;
/// assert_eq!(Args::new(&[1, 2])?.as_json(), b"1,2");
/// assert_eq!(Args::new(&vec![1, 2])?.as_json(), b"[1,2]");
/// assert_eq!(Args::new(&([1, 2],))?.as_json(), b"[1,2]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as arguments",
    label = "this cannot be written for the other end",
    note = "add `#[derive(serde::Serialize)]` to the type; several arguments are a tuple: `(a, b)`"
)]
pub trait ToArgs {
    /// Writes the arguments. For implementations by hand: give the work to a value that already
    /// implements this trait.
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError>;
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// No argument.
    None,
    /// One value, or several with commas between.
    One,
}

/// Where arguments are written.
#[derive(Debug)]
pub struct ArgsWriter<'a> {
    text: &'a mut Vec<u8>,
    attachments: &'a mut Attachments,
}

impl<'a> ArgsWriter<'a> {
    pub(crate) const fn new(text: &'a mut Vec<u8>, attachments: &'a mut Attachments) -> Self {
        Self { text, attachments }
    }

    /// Sets bytes aside and writes their placeholder.
    fn attach(&mut self, bytes: &[u8]) {
        placeholder::push(self.text, self.attachments.count);
        self.attachments.push(bytes);
    }

    const fn reborrow(&mut self) -> ArgsWriter<'_> {
        ArgsWriter { text: self.text, attachments: self.attachments }
    }
}

/// Attachments that were set aside: whole frames one behind the other, as a parcel carries them.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    pub(crate) count: usize,
    pub(crate) frames: Vec<u8>,
}

impl Attachments {
    fn push(&mut self, bytes: &[u8]) {
        self.count += 1;
        frame::write(&mut self.frames, Opcode::Binary, bytes, None);
    }

    /// Forgets them, but keeps their memory.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.frames.clear();
    }

    /// Each on its own; they share one piece of memory.
    pub(super) fn into_list(self) -> Vec<Bytes> {
        let frames = Bytes::from(self.frames);
        frame::split(&frames).map(|(_, bytes)| frames.slice_ref(bytes)).collect()
    }
}

impl<T: Serialize + ?Sized> ToArgs for T {
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError> {
        let start = out.text.len();
        let detached = out.attachments.count;
        let place = if size_of_val(self) == 0 { Place::TopUnit } else { Place::Top };
        self.serialize(Value { out: out.reborrow(), place, json: &mut None })
            .map_err(EncodeError)?;
        if out.attachments.count > detached {
            // A value that looks like a placeholder, beside real ones, would end the connections of
            // all who get it.
            placeholder::check(&out.text[start..], out.attachments.count).map_err(|_| {
                EncodeError(serde::ser::Error::custom("a value looks like a placeholder"))
            })?;
        }
        Ok(if out.text.len() == start { Shape::None } else { Shape::One })
    }
}

impl ToArgs for Args {
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError> {
        self.attachments().iter().for_each(|bytes| out.attachments.push(bytes));
        if self.is_empty() {
            return Ok(Shape::None);
        }
        out.text.extend_from_slice(self.as_json());
        Ok(Shape::One)
    }
}

impl ToArgs for &Args {
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError> {
        (**self).write(out)
    }
}

/// Appends a text as JSON. Most have nothing to escape: looking for that first, without a branch
/// for each byte, is several times faster than `serde_json`'s walk, which does both at once.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    if plain_len(text.as_bytes()) < text.len() {
        return serde_json::to_writer(out, text);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Sets bytes aside where they are deep in a value.
struct Detach<'a> {
    attachments: &'a mut Attachments,
}

impl Formatter for Detach<'_> {
    fn write_byte_array<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        let number = self.attachments.count;
        self.attachments.push(bytes);
        write!(writer, r#"{{"_placeholder":true,"num":{number}}}"#)
    }
}

type Json<'a> = serde_json::Serializer<&'a mut Vec<u8>, Detach<'a>>;
type Inner<'a> = &'a mut Json<'a>;

/// The serializer of an argument. What has parts is `serde_json`'s to write; what has none and comes
/// often is written here. At the top it leaves out the brackets of a tuple, and names the variants
/// of a `Result` as the field's clients expect them.
struct Value<'a> {
    out: ArgsWriter<'a>,
    place: Place,
    /// Where `serde_json`'s serializer lies if it is asked.
    json: &'a mut Option<Json<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// At the top, and of no size: `()`, if it writes itself as nothing. A JSON `null` does so too,
    /// but has a size and is an argument.
    TopUnit,
    Element,
}

impl<'a> Value<'a> {
    fn json(self) -> Inner<'a> {
        let ArgsWriter { text, attachments } = self.out;
        self.json.insert(Json::with_formatter(text, Detach { attachments }))
    }
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $type:ty),*) $(-> $compound:ident)?)*) => {$(
        fn $method(self, $($arg: $type),*) -> Result<forward!(@ $($compound)?), serde_json::Error> {
            self.json().$method($($arg),*)
        }
    )*};
    (@) => { () };
    (@ $compound:ident) => { Self::$compound };
}

impl<'a> Serializer for Value<'a> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = <Inner<'a> as Serializer>::SerializeSeq;
    type SerializeTuple = Tuple<'a>;
    type SerializeTupleStruct = <Inner<'a> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant = <Inner<'a> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <Inner<'a> as Serializer>::SerializeMap;
    type SerializeStruct = <Inner<'a> as Serializer>::SerializeStruct;
    type SerializeStructVariant = <Inner<'a> as Serializer>::SerializeStructVariant;

    forward! {
        serialize_bool(v: bool) serialize_i8(v: i8) serialize_i16(v: i16) serialize_i32(v: i32)
        serialize_i64(v: i64) serialize_i128(v: i128) serialize_u8(v: u8) serialize_u16(v: u16)
        serialize_u32(v: u32) serialize_u64(v: u64) serialize_u128(v: u128) serialize_f32(v: f32)
        serialize_f64(v: f64) serialize_char(v: char) serialize_none()
        serialize_unit_struct(name: &'static str)
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str)
        serialize_seq(len: Option<usize>) -> SerializeSeq
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeTupleVariant
        serialize_map(len: Option<usize>) -> SerializeMap
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeStructVariant
    }

    fn serialize_str(self, text: &str) -> Result<(), Self::Error> {
        push_text(self.out.text, text)
    }

    fn serialize_bytes(mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.out.attach(bytes);
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Self::Error> {
        if self.place == Place::TopUnit { Ok(()) } else { self.json().serialize_unit() }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Self::Error> {
        value.serialize(Self { place: Place::Element, ..self })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        value.serialize(Self { place: Place::Element, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        let variant = match (self.place, name, variant) {
            (Place::Element, ..) => variant,
            (_, "Result", "Ok") => "ok",
            (_, "Result", "Err") => "error",
            _ => variant,
        };
        self.json().serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_tuple(self, _: usize) -> Result<Tuple<'a>, Self::Error> {
        let brackets = self.place == Place::Element;
        if brackets {
            self.out.text.push(b'[');
        }
        Ok(Tuple { out: self.out, brackets, is_empty: true })
    }
}

/// A tuple that is being written: at the top several arguments, elsewhere an array.
struct Tuple<'a> {
    out: ArgsWriter<'a>,
    brackets: bool,
    is_empty: bool,
}

impl SerializeTuple for Tuple<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.text.push(b',');
        }
        value.serialize(Value { out: self.out.reborrow(), place: Place::Element, json: &mut None })
    }

    fn end(self) -> Result<(), Self::Error> {
        if self.brackets {
            self.out.text.push(b']');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: ToArgs + ?Sized>(value: &T, json: &str, attachments: usize) {
        let args = Args::new(value).unwrap();
        assert_eq!(std::str::from_utf8(args.as_json()).unwrap(), json);
        assert_eq!(args.attachments().len(), attachments);
    }

    #[test]
    fn a_tuple_is_several_arguments_and_all_else_is_one() {
        check(&(), "", 0);
        check(&&(), "null", 0);
        check(&serde_json::Value::Null, "null", 0);
        check("a\"b", r#""a\"b""#, 0);
        check(&(1, "b", [1.5]), r#"1,"b",[1.5]"#, 0);
        check(&(vec![1, 2],), "[1,2]", 0);
        check(&vec![1, 2], "[1,2]", 0);
        check(&None::<u8>, "null", 0);
        check(&Some((1, 2)), "[1,2]", 0);
        check(&serde_json::json!({"a": [1]}), r#"{"a":[1]}"#, 0);
    }

    #[test]
    fn a_result_is_ok_or_error() {
        check(&Ok::<_, String>(5), r#"{"ok":5}"#, 0);
        check(&Err::<(), _>("no"), r#"{"error":"no"}"#, 0);
    }

    #[test]
    fn bytes_become_attachments_wherever_they_are() {
        #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
        struct File {
            name: String,
            data: Bytes,
            more: Option<Vec<Bytes>>,
        }
        let bytes = Bytes::from_static(&[1, 2]);
        let file = File { name: "a".into(), data: bytes.clone(), more: Some(vec![Bytes::new()]) };
        let args = Args::new(&(7, file, &bytes)).unwrap();
        let json = std::str::from_utf8(args.as_json()).unwrap();
        assert!(
            json.ends_with(
                r#""more":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":2}"#
            )
        );
        assert_eq!(args.attachments(), [bytes.clone(), Bytes::new(), bytes.clone()]);
        let file: File = args.get(1).unwrap();
        assert_eq!((file.data, file.more), (bytes.clone(), Some(vec![Bytes::new()])));
        assert_eq!(args.get::<Bytes>(2).unwrap(), bytes);
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_is_not_sent_beside_bytes() {
        let lie = serde_json::json!({ "_placeholder": true, "num": 7 });
        check(&lie, r#"{"_placeholder":true,"num":7}"#, 0);
        let error = Args::new(&(Bytes::from_static(b"x"), lie)).unwrap_err();
        assert!(error.to_string().ends_with("a value looks like a placeholder"), "{error}");
    }

    #[test]
    fn arguments_pass_on_as_they_came() {
        let args = Args::new(&(1, Bytes::from_static(b"x"), "z")).unwrap();
        assert_eq!(Args::new(&args).unwrap(), args);
        let mut cursor = args.cursor();
        assert_eq!(cursor.value::<u8>().unwrap(), 1);
        let rest = cursor.rest();
        assert_eq!(rest.as_json(), br#"{"_placeholder":true,"num":0},"z""#);
        assert!(cursor.rest().is_empty());
    }

    #[test]
    fn an_argument_of_another_type_says_which() {
        let args = Args::new(&("text",)).unwrap();
        let error = args.get::<u8>(0).unwrap_err().to_string();
        assert!(error.starts_with("argument 1 does not fit: invalid type: string"), "{error}");
        assert_eq!(args.get::<u8>(1).unwrap_err().to_string(), "argument 2 is missing");
        assert_eq!(args.get::<Option<u8>>(1).unwrap(), None);
    }
}
