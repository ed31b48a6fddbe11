--TEST--
Near values: what was dropped stays readable for the rest of the request, in destructors and shutdown functions, too
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--FILE--
<?php
class Late {
    public function __construct(public $value) {}
    public function __destruct() {
        echo "destructor: ", count($this->value), " ", $this->value[0]["name"], "\n";
    }
}
function make(): int {
    return larder_probe_near(larder_probe_encode(array_map(fn($i) => ["id" => $i, "name" => "row number $i"], range(1, 100))));
}
$unused = make();
larder_probe_near_drop($unused);
echo "never handed out: ", larder_probe_near_bytes()[0], "\n";
$near = make();
$late = new Late(larder_probe_near_get($near));
$static = (function ($v) { static $kept; return $kept = $v; })(larder_probe_near_get($near));
register_shutdown_function(function () use ($near) {
    $value = larder_probe_near_get($near);
    larder_probe_near_drop($near);
    echo "shutdown: ", $value[99]["name"], "\n";
});
var_dump(larder_probe_near_weight($near) > 10000);
$dropped = make();
$value = larder_probe_near_get($dropped);
larder_probe_near_drop($dropped);
var_dump(larder_probe_near_bytes()[0] > 10000);
echo $value[50]["name"], "\n";
unset($value);
?>
--EXPECT--
never handed out: 0
bool(true)
bool(true)
row number 51
shutdown: row number 100
destructor: 100 row number 1
