--TEST--
Codec: classes that are missing, loaded late, changed, or throw when made
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--FILE--
<?php
function object_payload(string $class, array $props): string {
    $bytes = chr(0x90 | (1 + 2 * count($props))) . "\xc7" . chr(strlen($class)) . "\x01" . $class;
    foreach ($props as $name => $value) {
        $bytes .= larder_probe_encode((string)$name) . larder_probe_encode($value);
    }
    return $bytes;
}
function show(string $payload): void {
    $near = larder_probe_near($payload);
    foreach (["larder_probe_decode" => $payload, "larder_probe_near_get" => $near] as $how => $what) {
        try {
            $value = $how($what);
            echo str_replace("\0", "~", serialize($value)), "\n";
        } catch (Throwable $e) {
            echo get_class($e), ": ", $e->getMessage(), "\n";
        }
    }
}
set_error_handler(function ($type, $message) {
    echo "warned: $message\n";
});
echo "-- missing\n";
show(object_payload("Gone", ["a" => 1, "\0*\0b" => [2]]));
show(larder_probe_encode(unserialize('O:4:"Gone":1:{s:1:"a";i:1;}')));
echo "-- autoloaded\n";
spl_autoload_register(function ($class) {
    echo "loading $class\n";
    if ($class === "Late") {
        eval('class Late { public $a; protected $b; }');
    }
});
show(object_payload("Late", ["a" => 1, "\0*\0b" => 2]));
echo "-- changed\n";
class Now {
    public int $a = 0;
    public $added = "default";
}
show(object_payload("Now", ["a" => 1]));
show(object_payload("Now", ["a" => 1, "added" => 2]));
show(object_payload("Now", ["a" => "no int", "added" => 2]));
show(object_payload("now", ["a" => 1, "added" => 2]));
abstract class Abstracted {}
show(object_payload("Abstracted", []));
class Thrower {
    public function __unserialize(array $data): void {
        throw new LogicException("thrown by __unserialize");
    }
}
show(object_payload("Thrower", []));
show(larder_probe_encode(new Thrower));
class Waker {
    public $a = 1;
    public function __wakeup() {
        $this->a = larder_probe_decode(larder_probe_encode(["re-entered" => new DateTimeImmutable("@0")]))["re-entered"]->getTimestamp();
    }
}
show(larder_probe_encode([new Waker, new Waker]));
class Exiter {
    public function __wakeup() {
        register_shutdown_function(function () {
            echo "shutdown still reads: ", serialize(larder_probe_decode(larder_probe_encode([1, "two"]))), "\n";
        });
        exit("exit in __wakeup\n");
    }
}
echo "-- exit\n";
show(larder_probe_encode(new Exiter));
echo "not reached\n";
?>
--EXPECT--
-- missing
O:4:"Gone":2:{s:1:"a";i:1;s:4:"~*~b";a:1:{i:0;i:2;}}
O:4:"Gone":2:{s:1:"a";i:1;s:4:"~*~b";a:1:{i:0;i:2;}}
O:4:"Gone":1:{s:1:"a";i:1;}
O:4:"Gone":1:{s:1:"a";i:1;}
-- autoloaded
loading Late
O:4:"Late":2:{s:1:"a";i:1;s:4:"~*~b";i:2;}
O:4:"Late":2:{s:1:"a";i:1;s:4:"~*~b";i:2;}
-- changed
O:3:"Now":2:{s:1:"a";i:1;s:5:"added";s:7:"default";}
O:3:"Now":2:{s:1:"a";i:1;s:5:"added";s:7:"default";}
O:3:"Now":2:{s:1:"a";i:1;s:5:"added";i:2;}
O:3:"Now":2:{s:1:"a";i:1;s:5:"added";i:2;}
Exception: the entry is broken
Exception: the entry is broken
O:3:"Now":2:{s:1:"a";i:1;s:5:"added";i:2;}
O:3:"Now":2:{s:1:"a";i:1;s:5:"added";i:2;}
Exception: the entry is broken
Exception: the entry is broken
Exception: the entry is broken
Exception: the entry is broken
Exception: the entry is broken
Exception: the entry is broken
a:2:{i:0;O:5:"Waker":1:{s:1:"a";i:0;}i:1;O:5:"Waker":1:{s:1:"a";i:0;}}
a:2:{i:0;O:5:"Waker":1:{s:1:"a";i:0;}i:1;O:5:"Waker":1:{s:1:"a";i:0;}}
-- exit
exit in __wakeup
shutdown still reads: a:2:{i:0;i:1;i:1;s:3:"two";}
