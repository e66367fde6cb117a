"""How large the parts of an untrusted file may be: one table for all readers."""

# JSON and headers, in bytes: ours have some thousand, those of large networks a million; as Python
# objects they take fifty times as much
LARGEST_JSON = 16_000_000
LARGEST_LIST = 256_000_000  # bytes of what tells of the files of a folder, some 100 each
LARGEST_HEADER = 25_000_000  # of a safetensors file
DEEPEST_JSON = 8  # dicts and lists of a config within each other; those of encoders have 3

# pickles of torch
LARGEST_INDEX = 2_000_000  # bytes of a checkpoint's index; released ones have some 100,000
MOST_WORK = 1_000_000  # objects put together and hashed; about one for 5 bytes of an index
MOST_VIEWS = 4  # times that the bytes of a file may be read as tensors; EMA weights are shared
DEEPEST_CHECKPOINT = 4  # nested dicts and lists that are looked into; released ones need 2

# numbers in the config of a network
MOST_SIDE = 1024  # pixels of a side of its pictures
MOST_ENTRIES = 16  # of a list, such as the levels of a U-Net
MOST_NAMES = 50_000  # of a list or table in the config of an encoder, such as labels
MOST_LAYERS = 64
MOST_NUMBER = 1_000_000  # any other; vocabularies have up to 256,000
# what a config builds
SLACK = 1_000_000  # values (4 MB) beyond twice those that its weights have
MOST_TENSORS = 20_000
MOST_MODULES = 50_000

# pictures
MOST_PIXELS = 64_000_000
MOST_SCANS = 100  # of a progressive JPEG, each of which decodes all pixels; encoders make 10
LARGEST_PROFILE = 4_000_000  # bytes of a colour profile; those of printers have some 2 million

# databases
LARGEST_PICTURE = 256_000_000  # bytes of an entry
DEEPEST_TREE = 32  # levels of pages, LMDB's own limit
