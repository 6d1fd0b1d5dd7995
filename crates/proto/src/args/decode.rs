//! Raw JSON and its attachments to a value.
//!
//! `serde_json` does the reading. Where a packet has attachments, its deserializer is wrapped in
//! one that answers a request for bytes with the attachment that a placeholder names, however deep
//! in a type the request comes.

use std::fmt;

use bytes::Bytes;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::cursor::Attachments;
use super::misfit::misfit;
use super::scan;
use super::top::Top;
use crate::error::{ArgCause, ArgError};
use crate::socket::placeholder;
use crate::text::as_text;

/// Reads the argument at `index`; a missing one reads as `null`.
pub(super) fn value<T: DeserializeOwned>(
    index: usize,
    json: Option<&[u8]>,
    attachments: &[Bytes],
) -> Result<T, ArgError> {
    let Some(json) = json else {
        let missing = |_| ArgError { index, cause: ArgCause::Missing };
        return serde_json::from_slice(b"null").map_err(missing);
    };
    let mut inner = serde_json::Deserializer::from_slice(json);
    let read = if attachments.is_empty() {
        T::deserialize(Top(&mut inner)).and_then(|value| inner.end().map(|()| value))
    } else {
        T::deserialize(Attached { inner: Top(&mut inner), attachments })
    };
    read.map_err(|e| ArgError { index, cause: ArgCause::Type(misfit(&e)) })
}

/// Reads the first value of a list without brackets, and says where reading ended; `None` when there
/// is none that fits, or that only [`value`] reads: a `Result` with the names of its variants here. A wrapper
/// around what reads all other types is no price for that.
pub(super) fn first<T: DeserializeOwned>(list: &[u8]) -> Option<(T, usize)> {
    first_plain_text(list).or_else(|| first_json(list))
}

/// As [`first`], where that is a text without escapes, which most arguments are.
fn first_plain_text<T: DeserializeOwned>(list: &[u8]) -> Option<(T, usize)> {
    let len = scan::plain_text(list)?;
    let text = as_text(&list[1..len - 1])?;
    // What does not fit is tried again as JSON, for the sake of the error.
    let text: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    Some((T::deserialize(text).ok()?, len))
}

fn first_json<T: DeserializeOwned>(list: &[u8]) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_slice(list).into_iter();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

/// Reads the first value of a list without brackets where that is a placeholder of the usual look
/// and bytes are asked for; also says its length. `None` for all else.
pub(super) fn first_bytes<T: DeserializeOwned>(
    list: &[u8],
    attachments: &mut Attachments<'_>,
) -> Option<(T, usize)> {
    let (number, len) = placeholder::usual(list)?;
    let value = T::deserialize(Only { number, attachments }).ok()?;
    Some((value, len))
}

/// A value that is bytes and nothing else, an attachment.
struct Only<'a, 'b> {
    number: usize,
    attachments: &'a mut Attachments<'b>,
}

/// Something else than bytes was asked for.
#[derive(Debug)]
struct NotBytes;

impl<'de> Deserializer<'de> for Only<'_, '_> {
    type Error = NotBytes;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NotBytes> {
        Err(NotBytes)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        visitor.visit_byte_buf(self.attachments.give(self.number).ok_or(NotBytes)?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NotBytes> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl serde::de::Error for NotBytes {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl fmt::Display for NotBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not bytes")
    }
}

impl std::error::Error for NotBytes {}

/// Anything of `serde`'s reading half, with the attachments beside it.
struct Attached<'a, T> {
    inner: T,
    attachments: &'a [Bytes],
}

impl<'a, T> Attached<'a, T> {
    const fn new(inner: T, attachments: &'a [Bytes]) -> Self {
        Self { inner, attachments }
    }
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($arg,)* Attached::new(visitor, self.attachments))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Attached<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32()
        deserialize_i64() deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32()
        deserialize_u64() deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char()
        deserialize_str() deserialize_string() deserialize_option() deserialize_unit()
        deserialize_unit_struct(name: &'static str) deserialize_newtype_struct(name: &'static str)
        deserialize_seq() deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize) deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let attachments = self.attachments;
        self.inner.deserialize_any(Placeholder { visitor, attachments })
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Attached<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128)
        visit_f64(f64) visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Attached::new(inner, self.attachments))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Attached::new(inner, self.attachments))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Attached::new(inner, self.attachments))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Attached::new(inner, self.attachments))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Attached::new(inner, self.attachments))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Attached<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Attached::new(inner, self.attachments))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Attached<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Attached::new(seed, self.attachments))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Attached<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Attached::new(seed, self.attachments))
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Attached<'a, A> {
    type Error = A::Error;
    type Variant = Attached<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Attached::new(variant, self.attachments)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Attached<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Attached::new(seed, self.attachments))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Attached::new(visitor, self.attachments))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Attached::new(visitor, self.attachments))
    }
}

/// Answers a request for bytes: with the attachment of a placeholder, with a text's bytes, or with
/// an array of numbers, which is how bytes look in JSON alone.
struct Placeholder<'a, V> {
    visitor: V,
    attachments: &'a [Bytes],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Placeholder<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("binary data")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<V::Value, E> {
        self.visitor.visit_bytes(text.as_bytes())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(inner)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let mut marked = false;
        let mut number = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "_placeholder" => marked = map.next_value()?,
                "num" => number = Some(map.next_value::<usize>()?),
                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        // An object without the mark was not checked when the packet arrived.
        let number = number.filter(|_| marked);
        let number = number.ok_or_else(|| A::Error::custom("expected binary data"))?;
        let bytes = self.attachments.get(number);
        let bytes = bytes.ok_or_else(|| A::Error::custom("no such attachment"))?;
        self.visitor.visit_byte_buf(bytes.to_vec())
    }
}
