//! A `Result` that is a whole argument, as it is written: `{"ok": …}` or `{"error": …}`.
//!
//! `serde` names its variants `Ok` and `Err`. Whatever else is read passes through as it is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, Visitor};

/// The deserializer of a whole argument, in front of another one.
pub(super) struct Top<D>(pub(super) D);

macro_rules! forward {
    ($($method:ident($($arg:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($arg,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Top<D> {
    type Error = D::Error;

    forward! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32()
        deserialize_i64() deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32()
        deserialize_u64() deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char()
        deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_option() deserialize_unit() deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str) deserialize_seq()
        deserialize_tuple(len: usize) deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map() deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        match (name, variants) {
            ("Result", ["Ok", "Err"]) => self.0.deserialize_enum(name, variants, Named(visitor)),
            _ => self.0.deserialize_enum(name, variants, visitor),
        }
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// What `serde` reads a `Result` with, on its way to the name of the variant.
struct Named<T>(T);

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        match name {
            "ok" | "Ok" => self.0.visit_str("Ok"),
            "error" | "Err" => self.0.visit_str("Err"),
            _ => Err(E::custom("expected `ok` or `error`")),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Named(inner))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Named<A> {
    type Error = A::Error;
    type Variant = A::Variant;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, A::Variant), A::Error> {
        self.0.variant_seed(Named(seed))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Named<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Named(inner))
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Named<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_identifier(Named(visitor))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::args::{Args, FromArg};
    use crate::{EventError, error::ArgCause};

    /// What is read by position and what is read one after the other is the same.
    fn read<T: DeserializeOwned>(args: &Args) -> Result<T, String> {
        let told = |error: crate::ArgError| match error.cause {
            ArgCause::Missing => "missing".to_owned(),
            ArgCause::Type(text) => text,
        };
        let by_cursor = T::from_arg(&mut args.cursor()).map_err(told);
        let by_index = args.get::<T>(0).map_err(told);
        assert_eq!(by_cursor.as_ref().err(), by_index.as_ref().err(), "{args:?}");
        by_cursor
    }

    fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        let text = Bytes::copy_from_slice(json.as_bytes());
        read(&Args::from_packet(text, 0..json.len(), Box::default()))
    }

    #[track_caller]
    fn round_trip<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert_eq!(&read::<T>(&Args::new(value).unwrap()).unwrap(), value);
    }

    #[test]
    fn a_result_is_read_as_it_is_written() {
        type Map = BTreeMap<String, Vec<u8>>;
        round_trip(&Ok::<i64, String>(3));
        round_trip(&Err::<i64, String>("no".into()));
        round_trip(&Ok::<(), String>(()));
        round_trip(&Err::<(), ()>(()));
        round_trip(&Ok::<(u8, String), u8>((1, "a".into())));
        round_trip(&Ok::<Map, u8>([("a".into(), vec![1])].into()));
        round_trip(&Err::<u8, Option<u8>>(None));
        // Only the outer one has other names.
        round_trip(&Ok::<Result<u8, u8>, u8>(Err(1)));
        assert_eq!(
            Args::new(&Ok::<_, ()>(Err::<(), _>(1))).unwrap().as_json(),
            br#"{"ok":{"Err":1}}"#
        );
    }

    #[test]
    fn bytes_in_a_result_are_attachments() {
        round_trip(&Ok::<Bytes, String>(Bytes::from_static(b"x")));
        round_trip(&Err::<u8, (Bytes, Bytes)>((Bytes::new(), Bytes::from_static(b"y"))));
    }

    #[test]
    fn a_result_behind_another_argument_has_the_names_of_serde() {
        let args = Args::new(&(1, Ok::<_, ()>(2))).unwrap();
        assert_eq!(args.as_json(), br#"1,{"Ok":2}"#);
        let mut cursor = args.cursor();
        assert_eq!(cursor.value::<u8>().unwrap(), 1);
        assert_eq!(cursor.value::<Result<u8, ()>>().unwrap(), Ok(2));
        assert_eq!(parse::<Result<u8, u8>>(r#"{"Err":1}"#), Ok(Err(1)));
    }

    #[test]
    fn what_follows_a_result_is_read_too() {
        let json = r#" {"ok" : 1 } , {"error":{"code":"a","message":"b"}},3"#;
        let args = Args::from_packet(Bytes::from(json), 0..json.len(), Box::default());
        let mut cursor = args.cursor();
        assert_eq!(cursor.value::<Result<u8, String>>().unwrap(), Ok(1));
        let error = cursor.value::<Result<u8, EventError>>().unwrap().unwrap_err();
        assert_eq!((error.code(), error.message()), ("a", "b"));
        assert_eq!(cursor.value::<u8>().unwrap(), 3);
    }

    #[test]
    fn what_is_no_result_does_not_fit() {
        let shapes = [
            "",
            " ",
            "null",
            "{}",
            "[]",
            "0",
            "true",
            r#""ok""#,
            r#""error""#,
            r#""Ok""#,
            r#"{"ok":1,"error":2}"#,
            r#"{"error":2,"ok":1}"#,
            r#"{"ok":1,"ok":1}"#,
            r#"{"ok":1,"Ok":1}"#,
            r#"{"ok":1,}"#,
            r#"{"OK":1}"#,
            r#"{"err":1}"#,
            r#"{"Error":1}"#,
            r#"{"ok":"a"}"#,
            r#"{"ok":null}"#,
            r#"{"ok":256}"#,
            r#"{"error":"a"}"#,
            r#"{"":1}"#,
            r#"["ok",1]"#,
            r#"[{"ok":1}]"#,
            r#"{"ok":{"ok":1}}"#,
            r#"{"hunter2":1}"#,
            r#"{"ok""#,
        ];
        for json in shapes {
            let error = parse::<Result<u8, u8>>(json).expect_err(json);
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = parse::<Result<u8, u8>>(r#"{"hunter2":1}"#).unwrap_err();
        assert!(error.starts_with("expected `ok` or `error`"), "{error}");
    }

    #[test]
    fn other_types_keep_their_names() {
        type Map = BTreeMap<String, u8>;
        assert_eq!(parse::<Map>(r#"{"ok":1,"error":2}"#).unwrap().len(), 2);
        #[derive(serde::Deserialize, Debug, PartialEq)]
        #[serde(rename_all = "lowercase")]
        enum Outcome {
            Ok(u8),
            Error(u8),
        }
        assert_eq!(parse::<Outcome>(r#"{"ok":1}"#), Ok(Outcome::Ok(1)));
        assert_eq!(parse::<Outcome>(r#"{"error":1}"#), Ok(Outcome::Error(1)));
        assert!(parse::<Outcome>(r#"{"Ok":1}"#).is_err());
        // Where a `Result` is a part of something, the names are those of serde.
        assert_eq!(parse::<Option<Result<u8, u8>>>(r#"{"Ok":1}"#), Ok(Some(Ok(1))));
        assert!(parse::<Option<Result<u8, u8>>>(r#"{"ok":1}"#).is_err());
        assert!(parse::<Vec<Result<u8, u8>>>(r#"[{"ok":1}]"#).is_err());
    }
}
