--TEST--
Gets and sets inside the hooks of an outer serialize() or unserialize(), and the other way round
--FILE--
<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require __DIR__ . '/store.inc';
$cache = local_store()->cache('c');
/** What only PHP's serializer carries: a reference, an object twice, an object with a hook. */
class Hooked {
    public $data;
    public function __construct($data = null) { $this->data = $data; }
    public function __serialize(): array { return ['d' => $this->data]; }
    public function __unserialize(array $data): void { $this->data = $data['d']; }
}
function tangled(string $name): array {
    $shared = (object)['name' => $name];
    $value = ['first' => $shared, 'again' => $shared, 'hooked' => new Hooked($shared), 'text' => $name];
    $value['reference'] = &$value['text'];
    return $value;
}
/** Stores a value, reads it and others, and says what is wrong with them. */
function busy(string $when): void {
    global $cache, $depth, $ran;
    $ran["$when"] = true;
    if ($depth > 1) {
        return;
    }
    $depth++;
    same("$when: set", true, $cache->set($when, tangled($when)));
    $got = $cache->get($when);
    same("$when: read", $when, $got['text'] ?? null);
    same("$when: one object", true, $got['first'] === $got['again'] && $got['first'] === $got['hooked']->data);
    $got['text'] = 'changed';
    same("$when: reference", 'changed', $got['reference'] ?? null);
    same("$when: settings", ['a' => 1, 'o' => 'settings'], [...['a' => $cache->get('settings')['a']], 'o' => $cache->get('settings')['o']->name]);
    same("$when: many", [$when, 'settings'], array_keys($cache->getMany([$when, 'settings'])));
    same("$when: plain", [1, [2]], $cache->get('plain'));
    $cache->get('broken');
    $cache->setMany(["$when 2" => tangled('two'), 'x' => 1]);
    same("$when: second", 'two', $cache->get("$when 2")['first']->name);
    $depth--;
}
class Custom implements Serializable {
    public $x, $y;
    public function __construct($x = null) { $this->x = $x; }
    public function serialize() { busy('Serializable::serialize'); $text = serialize([$this->x, $this->x]); busy('after'); return $text; }
    public function unserialize($data) {
        busy('Serializable::unserialize');
        [$this->x, $this->y] = unserialize($data);
        busy('and after');
    }
}
class Both {
    public function __construct(public $x = null) {}
    public function __serialize(): array { busy('__serialize'); return [$this->x, $this->x]; }
    public function __unserialize(array $data): void { busy('__unserialize'); $this->x = $data[0]; same('twice', true, $data[0] === $data[1]); }
}
class Sleeper {
    public $x;
    public function __sleep() { busy('__sleep'); return ['x']; }
    public function __wakeup() { busy('__wakeup'); }
    public function __destruct() { busy('__destruct'); }
}
spl_autoload_register(function ($class) {
    busy("loading $class");
    if (str_starts_with($class, 'Late')) {
        eval("class $class { public \$a; }");
    }
});
ini_set('unserialize_callback_func', 'missing_class');
function missing_class($class) {
    busy("callback for $class");
}
$quiet = function (callable $call) {
    $GLOBALS['depth'] = 9;
    $result = $call();
    $GLOBALS['depth'] = 0;
    return $result;
};
$ran = [];
$depth = 0;
$quiet(function () use ($cache) {
    $cache->set('settings', ['a' => 1, 'o' => new Hooked((object)['name' => 1])] + tangled('settings'));
    $settings = tangled('settings') + ['a' => 1];
    $settings['o'] = $settings['first'];
    $cache->set('settings', $settings);
    $cache->set('plain', [1, [2]]);
    $cache->set('broken', @unserialize('a:2:{i:0;O:5:"Gone1":0:{}i:1;r:2;}'));
});
// The outer one is PHP's.
$outer = function () {
    $shared = (object)['name' => 'outer'];
    $sleeper = new Sleeper;
    $sleeper->x = $shared;
    $value = [$shared, new Custom($shared), new Both($shared), $sleeper, $shared, 'text'];
    $value[] = &$value[5];
    return $value;
};
$value = $outer();
$want = $quiet(fn() => serialize($value));
$got = serialize($value);
same('serialize', $want, $got);
$back = unserialize($got);
same('unserialize', $want, $quiet(fn() => serialize($back)));
same('one object', true, $back[0] === $back[1]->x && $back[0] === $back[1]->y && $back[0] === $back[2]->x && $back[0] === $back[3]->x && $back[0] === $back[4]);
$back[5] = 'changed';
same('reference', 'changed', $back[6]);
unset($back);
// The outer one is ours: the value comes back as from PHP, though its hooks do as they like.
same('set', true, $cache->set('outer', $value));
same('setMany', 1, $cache->setMany(['outer' => $value]));
$got = $cache->get('outer');
same('get', $want, $quiet(fn() => serialize($got)));
same('one object', true, $got[0] === $got[1]->x && $got[0] === $got[1]->y && $got[0] === $got[4] && $got[0] === $got[3]->x);
$many = $cache->getMany(['outer', 'settings']);
same('getMany', $want, $quiet(fn() => serialize($many['outer'])));
// Ours in PHP's in ours in PHP's.
class Chain {
    public $got;
    public function __construct(public int $left = 0) {}
    public function __serialize(): array {
        if ($this->left > 0) {
            $GLOBALS['cache']->set("chain {$this->left}", [$s = new Chain($this->left - 1), $s]);
        }
        return [$this->left, $this, $this];
    }
    public function __unserialize(array $data): void {
        [$this->left, $one, $two] = $data;
        same('in the chain', true, $one === $this && $two === $this);
        if ($this->left > 0) {
            $got = $GLOBALS['cache']->get("chain {$this->left}");
            same('from the chain', [$this->left - 1, true], [$got[0]->left, $got[0] === $got[1]]);
            $this->got = $got[0];
        }
    }
}
$chain = unserialize(serialize([$c = new Chain(6), $c]));
for ($links = 0, $link = $chain[0]; $link; $link = $link->got) {
    $links++;
}
same('links', 7, $links);
// Classes that are loaded meanwhile, or missing.
$late = 'a:4:{i:0;O:5:"Late1":1:{s:1:"a";i:1;}i:1;O:8:"stdClass":0:{}i:2;O:5:"Gone2":0:{}i:3;r:4;}';
$back = @unserialize($late);
same('loaded', ['Late1', true], [get_class($back[0]), $back[1] === $back[3]]);
$quiet(fn() => $cache->set('late', @unserialize(str_replace(['Late1', 'Gone2'], ['Late2', 'Gone3'], $late))));
$got = $cache->get('late');
same('loaded by get', [true, '__PHP_Incomplete_Class'], [$got[1] === $got[3], get_class($got[2])]);
// Exceptions and errors of hooks leave the outer one whole.
class Thrower {
    public function __construct(public $how = null) {}
    public function __serialize(): array { return $this->how === 'write' ? throw new LogicException('write') : [$this->how]; }
    public function __unserialize(array $data): void { throw new LogicException('read'); }
}
class Catcher {
    public $outcome;
    public function __serialize(): array {
        global $cache;
        return [outcome(fn() => $cache->set('t', [1, new Thrower('write')])), outcome(fn() => $cache->set('t', new Thrower)), $GLOBALS['shared'], $GLOBALS['shared']];
    }
    public function __unserialize(array $data): void {
        global $cache;
        $this->outcome = [$data[0], $data[1], outcome(fn() => $cache->get('t', 'missed')), $data[2] === $data[3]];
    }
}
$shared = (object)[];
$back = unserialize(serialize([$shared, $c = new Catcher, $shared, $c]));
echo json_encode($back[1]->outcome), ' ', json_encode([$back[0] === $back[2], $back[1] === $back[3]]), "\n";
// Session data and other serializers of PHP's are the same functions.
class Printed implements JsonSerializable {
    public function jsonSerialize(): mixed { busy('jsonSerialize'); return [1]; }
}
echo json_encode(new Printed), "\n";
$copy = unserialize(serialize(new ArrayObject([$c = new Both((object)[]), $c])));
same('in an ArrayObject', true, $copy[0] === $copy[1]);
$store = new SplObjectStorage;
$store[$value[0]] = new Both($value[0]);
$copy = unserialize(serialize($store));
same('in an SplObjectStorage', 1, count($copy));
// exit and what follows it.
register_shutdown_function(function () use ($cache) {
    $GLOBALS['depth'] = 0;
    busy('at the end');
    $shared = (object)[];
    $back = unserialize(serialize([$shared, new Both($shared), $shared]));
    same('at the end', true, $back[0] === $back[2] && $back[1]->x === $back[0]);
    $GLOBALS['depth'] = 9;
    ksort($GLOBALS['ran']);
    echo implode(', ', array_keys($GLOBALS['ran'])), "\n";
});
class Exits {
    public function __serialize(): array { return []; }
    public function __unserialize(array $data): void { exit; }
}
$quiet(fn() => $cache->set('exits', [new Exits]));
class Last {
    public function __serialize(): array { return [1]; }
    public function __unserialize(array $data): void { $GLOBALS['cache']->get('exits'); echo "not reached\n"; }
}
unserialize(serialize([new Last, new Last]));
echo "not reached\n";
?>
--EXPECT--
["LogicException: write","true","\"missed\"",true] [true,true]
[1]
Serializable::serialize, Serializable::unserialize, __destruct, __serialize, __sleep, __unserialize, __wakeup, after, and after, at the end, callback for Gone1, callback for Gone2, callback for Gone3, jsonSerialize, loading Gone1, loading Gone2, loading Gone3, loading Late1, loading Late2
