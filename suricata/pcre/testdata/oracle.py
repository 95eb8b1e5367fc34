"""Answers questions about expressions with libpcre2, for oracle_test.go.

A question is a line of hex words: options, expression, start, subject...
(options and start in hex too, "-" for an empty text). The answer is a line:
"error N" if it does not compile, else for each subject "none", "limit" or the
offsets of match and groups, separated by commas (-1 unset)."""
import ctypes
import sys

lib = ctypes.CDLL("libpcre2-8.so.0")
size = ctypes.c_size_t
lib.pcre2_compile_8.restype = ctypes.c_void_p
lib.pcre2_compile_8.argtypes = [ctypes.c_char_p, size, ctypes.c_uint32, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(size), ctypes.c_void_p]
lib.pcre2_match_data_create_from_pattern_8.restype = ctypes.c_void_p
lib.pcre2_match_data_create_from_pattern_8.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
lib.pcre2_match_8.argtypes = [ctypes.c_void_p, ctypes.c_char_p, size, size, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]
lib.pcre2_get_ovector_pointer_8.restype = ctypes.POINTER(size)
lib.pcre2_get_ovector_pointer_8.argtypes = [ctypes.c_void_p]
lib.pcre2_get_ovector_count_8.argtypes = [ctypes.c_void_p]
lib.pcre2_code_free_8.argtypes = [ctypes.c_void_p]
lib.pcre2_match_data_free_8.argtypes = [ctypes.c_void_p]
lib.pcre2_match_context_create_8.restype = ctypes.c_void_p
lib.pcre2_match_context_create_8.argtypes = [ctypes.c_void_p]
lib.pcre2_set_match_limit_8.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
context = lib.pcre2_match_context_create_8(None)
lib.pcre2_set_match_limit_8(context, 100000)


def text(word):
    return b"" if word == "-" else bytes.fromhex(word)


def match(code, data, subject, start):
    n = lib.pcre2_match_8(code, subject, len(subject), start, 0, data, context)
    if n == -1:
        return "none"
    if n < 0:
        return "limit"
    vector = lib.pcre2_get_ovector_pointer_8(data)
    count = lib.pcre2_get_ovector_count_8(data)
    return ",".join(str(ctypes.c_ssize_t(vector[i]).value) for i in range(2 * count))


for line in sys.stdin:
    words = line.split()
    expression = text(words[1])
    number, offset = ctypes.c_int(), size()
    code = lib.pcre2_compile_8(expression, len(expression), int(words[0], 16), ctypes.byref(number), ctypes.byref(offset), None)
    if not code:
        print("error", number.value, flush=True)
        continue
    data = lib.pcre2_match_data_create_from_pattern_8(code, None)
    start = int(words[2], 16)
    print(" ".join(match(code, data, text(w), start) for w in words[3:]), flush=True)
    lib.pcre2_match_data_free_8(data)
    lib.pcre2_code_free_8(code)
