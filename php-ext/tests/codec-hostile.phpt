--TEST--
Codec: hostile bytes are broken entries: no crash, warning or exit
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--FILE--
<?php
require __DIR__ . "/generate.inc";
set_error_handler(function ($type, $message) {
    echo "warned: $message\n";
});
spl_autoload_register(fn() => null);
mt_srand(4711);
$generator = new ValueMaker(4711);
$good = [];
while (count($good) < 60) {
    $payload = @larder_probe_encode($generator->top());
    if (strlen($payload) > 10 && strlen($payload) < 2000) {
        $good[] = $payload;
    }
}
$broken = $read = 0;
function attempt(string $bytes): void {
    global $broken, $read;
    foreach (["larder_probe_decode", fn($bytes) => larder_probe_near_drop($near = larder_probe_near($bytes))] as $how) {
        try {
            $how($bytes);
            $read++;
        } catch (Exception) {
            $broken++;
        }
    }
}
foreach ($good as $payload) {
    for ($cut = 0; $cut < strlen($payload); $cut += 1 + intdiv(strlen($payload), 50)) {
        attempt(substr($payload, 0, $cut));
    }
}
for ($i = 0, $n = (int)(getenv("LARDER_MUTATIONS") ?: 20000); $i < $n; $i++) {
    $payload = $good[mt_rand(0, count($good) - 1)];
    for ($j = mt_rand(1, 4); $j > 0; $j--) {
        $payload[mt_rand(0, strlen($payload) - 1)] = chr(mt_rand(0, 255));
    }
    attempt($payload);
}
foreach ([str_repeat("\x91", 1 << 20), "\xdd\xff\xff\xff\xff", "\xdf\x7f\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc7\x05\x04O:8:\"", "\xc1", ""] as $bytes) {
    attempt($bytes);
}
// What claims much may not be given much.
$before = memory_get_peak_usage();
attempt(str_repeat("\xdd\x00\x00\xff\xff", 200) . str_repeat("\xc0", 70000));
var_dump(memory_get_peak_usage() - $before < 50 << 20);
var_dump($broken > $n / 2, $read > $n / 20);
?>
--EXPECT--
bool(true)
bool(true)
bool(true)
