--TEST--
Codec: what serialize() refuses is refused with its exception, and exceptions of hooks pass
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--FILE--
<?php
class Throws {
    public function __serialize(): array {
        throw new LogicException("not today");
    }
}
class ThrowsAsleep {
    public function __sleep() {
        throw new LogicException("not asleep");
    }
}
$deep = [];
for ($i = 0; $i < 10000; $i++) {
    $deep = [$deep];
}
$linked = null;
for ($i = 0; $i < 10000; $i++) {
    $linked = (object)["next" => $linked];
}
$stored = $queued = null;
for ($i = 0; $i < 10000; $i++) {
    $stored = new ArrayObject([$stored]);
    [$last, $queued] = [$queued, new SplDoublyLinkedList];
    $queued[] = $last;
}
foreach ([fn() => 1, new class {}, [new SplFileObject(__FILE__)], (function () { yield 1; })(), new Throws, [new ThrowsAsleep], $deep, $linked, $stored, $queued, [new ReflectionClass("stdClass")]] as $value) {
    try {
        var_dump(larder_probe_encode($value));
    } catch (Throwable $e) {
        echo get_class($e), ": ", preg_replace('/@anonymous.*?\x27/', "@anonymous'", $e->getMessage()), "\n";
    }
}
// Deep, but readable.
foreach ([255, 256, 257, 4000] as $depth) {
    $value = [];
    for ($i = 1; $i < $depth; $i++) {
        $value = [$value];
    }
    var_dump(larder_probe_decode(larder_probe_encode($value)) === $value);
}
$file = fopen(__FILE__, "r");
var_dump(larder_probe_decode(larder_probe_encode([$file])));
?>
--EXPECTF--
Exception: Serialization of 'Closure' is not allowed
Exception: Serialization of 'class@anonymous' is not allowed
Exception: Serialization of 'SplFileObject' is not allowed
Exception: Serialization of 'Generator' is not allowed
LogicException: not today
LogicException: not asleep
%s: the value nests deeper than unserialize() follows
%s: the value nests deeper than unserialize() follows
%s: the value nests deeper than unserialize() follows
%s: the value nests deeper than unserialize() follows
Exception: Serialization of 'ReflectionClass' is not allowed
bool(true)
bool(true)
bool(true)
bool(true)
array(1) {
  [0]=>
  int(0)
}
