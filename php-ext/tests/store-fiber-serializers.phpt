--TEST--
Fibers that suspend inside hooks of values while others read and write: no call sees another's, nor its error settings
--FILE--
<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require __DIR__ . '/store.inc';
$cache = local_store()->cache('c');
$handled = [];
set_error_handler(function (int $type, string $message) {
    $GLOBALS['handled'][] = $message;
    return true;
}, E_ALL & ~E_DEPRECATED);
/** Suspends if it runs in a fiber of the test, and says where. */
function pause(string $where): void {
    global $pausing, $handled;
    $settings = error_reporting();
    same("$where: error_reporting", E_ALL & ~E_DEPRECATED, $settings);
    trigger_error($where);
    same("$where: handled", $where, array_pop($handled));
    if ($pausing && Fiber::getCurrent()) {
        Fiber::suspend($where);
    }
    trigger_error($where);
    same("$where: handled afterwards", $where, array_pop($handled));
}
class Writes {
    public function __construct(public $x = null) {}
    public function __serialize(): array { pause('__serialize'); return [$this->x, $this->x]; }
    public function __unserialize(array $data): void { $this->x = $data[0]; same('same', true, $data[0] === $data[1]); }
}
class Reads {
    public function __construct(public $x = null) {}
    public function __serialize(): array { return [$this->x, $this->x]; }
    public function __unserialize(array $data): void { pause('__unserialize'); $this->x = $data[0]; same('same', true, $data[0] === $data[1]); }
}
class Wakes {
    public $x;
    public function __sleep() { pause('__sleep'); return ['x']; }
    public function __wakeup() { pause('__wakeup'); }
}
class Custom implements Serializable {
    public function __construct(public $x = null) {}
    public function serialize() { pause('Serializable::serialize'); $text = serialize([$this->x, $this->x]); pause('after'); return $text; }
    public function unserialize($data) { pause('Serializable::unserialize'); [$this->x] = unserialize($data); pause('and after'); }
}
spl_autoload_register(function ($class) {
    if ($GLOBALS['pausing']) {
        pause('loading');
    }
    if (str_starts_with($class, 'Late')) {
        eval("class $class { public \$a; }");
    }
});
/** A value with all hooks, and references and objects that are counted across them. */
function hooked(string $name): array {
    $shared = (object)['name' => $name];
    $wakes = new Wakes;
    $wakes->x = $shared;
    $value = [$shared, new Writes($shared), new Custom($shared), $wakes, new Reads($shared), new Custom($shared), $shared, $name];
    $value[] = &$value[7];
    return $value;
}
function check(string $what, string $name, mixed $value): void {
    same("$what: text", $name, $value[7] ?? null);
    same("$what: name", $name, $value[0]->name ?? null);
    same("$what: one object", true, is_array($value) && $value[0] === $value[1]->x && $value[0] === $value[2]->x && $value[0] === $value[3]->x
        && $value[0] === $value[4]->x && $value[0] === $value[5]->x && $value[0] === $value[6]);
    $value[7] = 'changed';
    same("$what: reference", 'changed', $value[8] ?? null);
}
$works = [
    'get' => function ($name) use ($cache) {
        check("get $name", $name, $cache->get($name));
    },
    'getMany' => function ($name) use ($cache) {
        foreach ($cache->getMany([$name, 'none', "$name too"]) as $key => $value) {
            check("getMany $key", $name, $value);
        }
    },
    'set' => function ($name) use ($cache) {
        same("set $name", true, $cache->set($name, hooked($name)));
    },
    'setMany' => function ($name) use ($cache) {
        same("setMany $name", 2, $cache->setMany([$name => hooked($name), "$name too" => hooked($name)]));
    },
    'PHP' => function ($name) use ($cache) {
        // None of PHP's own calls suspends here: they are not made for that.
        $copy = unserialize(serialize([$object = (object)['name' => $name], [$object]]));
        same("PHP $name", true, $copy[0]->name === $name && $copy[0] === $copy[1][0]);
        check("get after PHP $name", $name, $cache->get($name));
    },
    'load' => function ($name) use ($cache) {
        $got = $cache->get("load $name");
        same("load $name", [true, $name], [$got[1] === $got[2], $got[3]]);
    },
];
$names = ['a', 'b', 'c', 'd'];
$pausing = false;
foreach ($names as $name) {
    $works['setMany']($name);
    $cache->set("load $name", @unserialize('a:4:{i:0;O:' . 6 + strlen($name) . ':"Later' . $name . '1":1:{s:1:"a";i:1;}i:1;O:4:"Gone":0:{}i:2;r:4;i:3;s:1:"' . $name . '";}'));
}
$pausing = true;
mt_srand((int)(getenv('LARDER_SEED') ?: 11));
$switches = 0;
for ($round = 0, $rounds = getenv('USE_ZEND_ALLOC') === '0' ? 20 : 400; $round < $rounds; $round++) {
    $fibers = [];
    foreach ($names as $name) {
        $kinds = array_rand($works, 3);
        shuffle($kinds);
        $fibers[] = new Fiber(function () use ($kinds, $name, $works) {
            foreach ($kinds as $kind) {
                $works[$kind]($name);
            }
        });
    }
    $ends = mt_rand(0, 9) === 0;
    while ($fibers) {
        $at = array_rand($fibers);
        $fiber = $fibers[$at];
        $fiber->isStarted() ? $fiber->resume() : $fiber->start();
        $switches++;
        if ($fiber->isTerminated() || ($ends && mt_rand(0, 20) === 0)) {
            unset($fibers[$at]); // One that is not at its end is unwound here.
        }
        $fiber = null;
        // The outside is as if no fiber were in the middle of anything.
        same('error_reporting', E_ALL & ~E_DEPRECATED, error_reporting());
        trigger_error('outside');
        same('handled outside', 'outside', array_pop($handled));
        $pausing = false;
        if (mt_rand(0, 3) === 0) {
            $name = $names[array_rand($names)];
            $works['get']($name);
            $works['set']($name);
            $shared = (object)[];
            $copy = unserialize(serialize([$shared, [$shared, 5], $shared]));
            same('PHP outside', true, $copy[0] === $copy[1][0] && $copy[0] === $copy[2] && $copy[1][1] === 5);
        }
        $pausing = true;
    }
}
same('nothing left', [], $handled);
// A fiber in a hook that runs fibers in hooks.
class Nests {
    public function __construct(public int $left = 0) {}
    public function __serialize(): array { return [$this->left]; }
    public function __unserialize(array $data): void {
        [$this->left] = $data;
        if ($this->left > 0) {
            $inner = new Fiber(fn() => $GLOBALS['cache']->get("nest {$this->left}"));
            $inner->start();
            $GLOBALS['works']['get']('a');
            Fiber::suspend($this->left);
            $inner->isTerminated() || $inner->resume();
        }
        Fiber::suspend('end');
    }
}
for ($left = 0; $left < 5; $left++) {
    $cache->set('nest ' . $left + 1, [$one = new Nests($left), $one, (object)[]]);
}
$pausing = false;
$fiber = new Fiber(function () use ($cache) {
    $got = $cache->get('nest 5');
    return $got[0] === $got[1];
});
for ($fiber->start(), $steps = 0; !$fiber->isTerminated() && $steps < 100; $steps++) {
    $works['get']('b');
    $fiber->resume();
}
same('nested', true, $fiber->getReturn());
// Exceptions that are thrown into a suspended hook, and one that never goes on.
$pausing = true;
$fiber = new Fiber(fn() => $cache->get('a', 'missed'));
$fiber->start();
$fiber->throw(new LogicException('thrown in'));
$result = $fiber->isTerminated() ? $fiber->getReturn() : null;
same('thrown in', 'missed', $result);
$left = new Fiber(fn() => $cache->get('b'));
$left->start();
$pausing = false;
$works['get']('c');
echo $switches > 1000 || getenv('USE_ZEND_ALLOC') === '0' ? "done\n" : "too few switches\n";
register_shutdown_function(function () use ($works) {
    $works['get']('d');
    $works['set']('d');
    echo "at the end\n";
});
?>
--EXPECT--
done
at the end
