//! Owns the reserved words of the languages in which people write plugins.

/// Languages with their keywords, including those that are reserved only in some places.
pub const KEYWORDS: [(&str, &str); 8] = [
    (
        "Rust",
        "as async await become box break const continue crate do dyn else enum extern false final \
         fn for gen if impl in let loop macro match mod move mut override priv pub ref return self \
         Self static struct super trait true try type typeof union unsafe unsized use virtual \
         where while yield",
    ),
    (
        "C",
        "alignas alignof auto bool break case char const constexpr continue default do double else \
         enum extern false float for goto if inline int long nullptr register restrict return \
         short signed sizeof static static_assert struct switch thread_local true typedef typeof \
         typeof_unqual union unsigned void volatile while asm fortran",
    ),
    (
        "C++",
        "and and_eq bitand bitor catch char16_t char32_t char8_t class co_await co_return co_yield \
         compl concept const_cast consteval constinit decltype delete dynamic_cast explicit export \
         final friend import module mutable namespace new noexcept not not_eq operator or or_eq \
         override private protected public reinterpret_cast requires static_cast template this \
         throw try typeid typename using virtual wchar_t xor xor_eq",
    ),
    (
        "C#",
        "abstract as base bool break byte case catch char checked class const continue decimal \
         default delegate do double else enum event explicit extern false finally fixed float for \
         foreach goto if implicit in int interface internal is lock long namespace new null object \
         operator out override params private protected public readonly ref return sbyte sealed \
         short sizeof stackalloc static string struct switch this throw true try typeof uint ulong \
         unchecked unsafe ushort using virtual void volatile while",
    ),
    (
        "Go",
        "break case chan const continue default defer else fallthrough for func go goto if import \
         interface map package range return select struct switch type var",
    ),
    (
        "MoonBit",
        "and as async await break catch const continue defer derive else enum enumview extern \
         false fn fnalias for guard if impl import in init is let letrec loop main match mut \
         noraise priv pub raise readonly return struct suberror test throw trait traitalias true \
         try type \
         typealias using where while with abstract alias assert declare define do downcast dyn \
         final include inherit interface isnot local macro member method module move namespace \
         override package protected public recur ref require static super typeof unsafe upcast use \
         virtual yield",
    ),
    (
        "Python",
        "False None True and as assert async await break case class continue def del elif else \
         except finally for from global if import in is lambda match nonlocal not or pass raise \
         return try while with yield",
    ),
    (
        "JavaScript",
        "arguments async await break case catch class const continue debugger default delete do \
         else enum eval export extends false finally for function if implements import in \
         instanceof interface let new null of package private protected public return static super \
         switch this throw true try typeof undefined var void while with yield",
    ),
];
