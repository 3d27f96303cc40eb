%% OTP's own supervisor, where `erl` is found: compare:main/0 takes the words of the other programs.
-module(compare).
-behaviour(supervisor).
-export([main/0, init/1, child/2, run/3, above/2]).

main() ->
    case init:get_plain_arguments() of
        ["start", N, _] -> start(list_to_integer(N));
        ["latency", N, Samples, _, _] -> latency(list_to_integer(N), list_to_integer(Samples));
        ["tree", Samples] -> tree(list_to_integer(Samples))
    end,
    halt(0).

%% A child is a bare process with the handshake, so that a start answers when it is ready.
child(At, Noted) -> proc_lib:start_link(?MODULE, run, [self(), At, Noted]).

run(Parent, At, Noted) ->
    case Noted andalso ets:take(fell, At) of
        [{_, Fell}] -> persistent_term:get(bench) ! {back, nanos() - Fell};
        _ -> ok
    end,
    Noted andalso ets:insert(seat, {At, self()}),
    proc_lib:init_ack(Parent, {ok, self()}),
    receive fall -> ets:insert(fell, {At, nanos()}), exit(as_asked) end.

spec(At, Noted) -> #{id => At, start => {?MODULE, child, [At, Noted]}}.
above(Limit, Specs) -> supervisor:start_link(?MODULE, {Limit, Specs}).
init({Limit, Specs}) -> {ok, {#{strategy => one_for_one, intensity => Limit, period => 5}, Specs}}.

world() ->
    process_flag(trap_exit, true),
    persistent_term:put(bench, self()),
    [ets:new(T, [named_table, public, set, {write_concurrency, true}]) || T <- [fell, seat]].

nanos() -> erlang:monotonic_time(nanosecond).

start(N) ->
    world(),
    Began = nanos(),
    {ok, _} = above(1000000000, [spec(At, false) || At <- lists:seq(1, N)]),
    Took = nanos() - Began,
    line("start", [{"how", "\"static\""}, {"n", N}, {"us_per_child", Took / N / 1000}]).

latency(N, Samples) ->
    world(),
    {ok, _} = above(1000000000, [spec(At, true) || At <- lists:seq(1, N)]),
    All = [begin
               [{_, Child}] = ets:lookup(seat, K * 7919 rem N + 1),
               Child ! fall,
               receive {back, Nanos} -> Nanos end
           end || K <- lists:seq(0, Samples - 1)],
    quantiles("latency", [{"how", "\"static\""}, {"n", N}, {"crash", "\"error\""}], All).

tree(Samples) ->
    world(),
    Idle = fun(From) -> [spec(At, false) || At <- lists:seq(From, From + 8)] end,
    Sup = fun(Id, Specs) -> #{id => Id, start => {?MODULE, above, [0, Specs]}, type => supervisor} end,
    {ok, _} = above(1000000000, [Sup(mid, [Sup(leaf, [spec(0, true) | Idle(1)]) | Idle(10)])]),
    All = [begin
               [{_, Child}] = ets:lookup(seat, 0),
               Child ! fall,
               Back = receive {back, Nanos} -> Nanos end,
               timer:sleep(2),
               Back
           end || _ <- lists:seq(1, Samples)],
    quantiles("tree", [], All).

quantiles(Figure, Fields, All) ->
    Sorted = lists:sort(All),
    At = fun(Share) -> lists:nth(1 + round((length(Sorted) - 1) * Share), Sorted) / 1000 end,
    line(Figure, Fields ++ [{"samples", length(All)}, {"p50_us", At(0.5)}, {"p99_us", At(0.99)}]).

line(Figure, Fields) ->
    Put = fun({K, V}) -> io_lib:format(",\"~s\":~s", [K, if is_float(V) -> io_lib:format("~.3f", [V]); is_integer(V) -> integer_to_list(V); true -> V end]) end,
    io:format("{\"impl\":\"otp-~s\",\"figure\":\"~s\"~s}~n", [erlang:system_info(otp_release), Figure, lists:map(Put, Fields)]).
