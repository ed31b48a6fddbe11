--TEST--
Codec: the vectors of docs/format.md, written and read
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--FILE--
<?php
class Point {
    public $x = 1;
    protected $y = 2;
    private $z = 3;
}
$checked = 0;
foreach (file(__DIR__ . "/../../docs/format.md") as $line) {
    if (!preg_match('/^\| `(.*)` \| `([0-9a-f]+)` \|$/', $line, $match)) {
        continue;
    }
    $serialized = str_replace('\0', "\0", $match[1]);
    $payload = hex2bin($match[2]);
    $value = unserialize($serialized);
    if (larder_probe_encode($value) !== $payload) {
        echo "written otherwise: $line", bin2hex(larder_probe_encode($value)), "\n";
    }
    if (serialize(larder_probe_decode($payload)) !== $serialized) {
        echo "read otherwise: $line";
    }
    $checked++;
}
var_dump($checked >= 30);
?>
--EXPECT--
bool(true)
