// Two agents for one HAProxy: the holder of a Kubernetes Lease sets the weights, the other stands by.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <rapidjson/pointer.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <csignal>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "integration/http_get.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

namespace http = boost::beast::http;
using boost::asio::ip::tcp;

/// The API server's Leases: one of them, with its resourceVersion, for those that have a token.
class FakeApi {
 public:
  FakeApi() : acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}) {
    accepting_ = std::thread([this] { accept(); });
  }
  ~FakeApi() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    boost::system::error_code ignored;
    // Closing alone does not end a blocking accept.
    tcp::socket knock(io_);
    knock.connect(acceptor_.local_endpoint(), ignored);
    accepting_.join();
    for (Connection& c : connections_) {
      c.socket.shutdown(tcp::socket::shutdown_both, ignored);
      c.thread.join();
    }
  }
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  [[nodiscard]] std::string url() const {
    return fmt::format("http://127.0.0.1:{}", acceptor_.local_endpoint().port());
  }

  void allow(const std::string& token) {
    const std::lock_guard lock(mutex_);
    tokens_.insert(token);
  }
  void forbid(const std::string& token) {
    const std::lock_guard lock(mutex_);
    tokens_.erase(token);
  }
  /// Requests with this token get no answer until `mend`; empty: with any.
  void cut(const std::string& token) {
    const std::lock_guard lock(mutex_);
    cut_ = token;
  }
  void mend() {
    const std::lock_guard lock(mutex_);
    cut_.reset();
    changed_.notify_all();
  }
  /// Another writer annotates the Lease before the next writes, so that these are conflicts.
  void conflict(unsigned times) {
    const std::lock_guard lock(mutex_);
    conflicts_ = times;
  }
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    return lease_;
  }
  [[nodiscard]] std::string holder() const {
    const std::string now = text();
    return now.empty() ? "" : at(json(now), "/spec/holderIdentity").GetString();
  }
  [[nodiscard]] unsigned count(unsigned status) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(status);
    return found == counts_.end() ? 0 : found->second;
  }

 private:
  using Request = http::request<http::string_body>;
  using Response = http::response<http::string_body>;
  struct Connection {
    explicit Connection(tcp::socket s) : socket(std::move(s)) {}
    tcp::socket socket;
    std::thread thread;
  };
  static constexpr std::string_view kLeases = "/apis/coordination.k8s.io/v1/namespaces/rpc/leases";

  void accept() {
    while (true) {
      tcp::socket peer = acceptor_.accept();
      const std::lock_guard lock(mutex_);
      if (closing_) return;
      Connection& c = connections_.emplace_back(std::move(peer));
      c.thread = std::thread([this, &c] { serve(c.socket); });
    }
  }

  void serve(tcp::socket& socket) {
    boost::system::error_code error;
    boost::beast::flat_buffer buffer;
    while (true) {
      Request request;
      http::read(socket, buffer, request, error);
      if (error) return;
      std::unique_lock lock(mutex_);
      const std::string token(request[http::field::authorization]);
      const auto is_cut = [&] { return cut_ && (cut_->empty() || token == "Bearer " + *cut_); };
      changed_.wait(lock, [&] { return closing_ || !is_cut(); });
      if (closing_) return;
      Response response = answer(request, token);
      ++counts_[response.result_int()];
      lock.unlock();
      response.set(http::field::content_type, "application/json");
      response.prepare_payload();
      http::write(socket, response, error);
      if (error) return;
    }
  }

  static Response status(unsigned code, std::string_view message) {
    Response out;
    out.result(code);
    out.body() = fmt::format(R"({{"kind":"Status","apiVersion":"v1","status":"Failure","message":"{}","code":{}}})",
                             message, code);
    return out;
  }

  static std::string written(const rapidjson::Document& doc) {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
    doc.Accept(writer);
    return {buffer.GetString(), buffer.GetSize()};
  }

  void store(rapidjson::Document& doc) {
    rapidjson::Pointer("/metadata/resourceVersion").Set(doc, std::to_string(++version_).c_str());
    lease_ = written(doc);
  }

  Response answer(const Request& request, const std::string& token) {
    if (!token.starts_with("Bearer ") || !tokens_.contains(token.substr(7))) return status(401, "Unauthorized");
    const std::string target(request.target());
    const bool named = target == std::string(kLeases) + "/weighter";
    Response ok;
    ok.result(200);
    if (request.method() == http::verb::get && named) {
      if (lease_.empty()) return status(404, "leases.coordination.k8s.io \\\"weighter\\\" not found");
      ok.body() = lease_;
      return ok;
    }
    rapidjson::Document doc;
    doc.Parse(request.body().c_str());
    if (doc.HasParseError() || !doc.IsObject()) return status(400, "no JSON");
    if (request.method() == http::verb::post && target == kLeases) {
      if (!lease_.empty()) return status(409, "already exists");
      store(doc);
      ok.result(201);
      ok.body() = lease_;
      return ok;
    }
    if (request.method() != http::verb::put || !named) return status(405, "method not allowed");
    if (lease_.empty()) return status(404, "not found");
    rapidjson::Document now;
    now.Parse(lease_.c_str());
    if (conflicts_ > 0) {
      --conflicts_;
      rapidjson::Pointer("/metadata/annotations/note").Set(now, "kept");
      store(now);
    }
    const auto version_of = [](const rapidjson::Document& d) {
      const rapidjson::Value* v = rapidjson::Pointer("/metadata/resourceVersion").Get(d);
      return v != nullptr && v->IsString() ? std::string(v->GetString()) : std::string{};
    };
    if (version_of(doc) != version_of(now)) return status(409, "the object has been modified");
    store(doc);
    ok.body() = lease_;
    return ok;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::thread accepting_;
  std::list<Connection> connections_;
  bool closing_ = false;
  std::set<std::string> tokens_;
  std::optional<std::string> cut_;
  unsigned conflicts_ = 0;
  unsigned version_ = 0;
  /// JSON; empty: there is none.
  std::string lease_;
  std::map<unsigned, unsigned> counts_;
};

/// A lease is over after 12 s, and attempts are up to 2 s apart; the rest is for a slow machine.
constexpr auto kTakeOver = 90s;

/// One agent: its account, its configuration, its program.
class Hand {
 public:
  enum class Lease : std::uint8_t { kNone, kShared };
  /// `servers`: more of them. `options`: of the command line.
  Hand(const Stage& stage, FakeApi& api, std::string_view name, Lease lease = Lease::kShared, std::string servers = {},
       std::vector<std::string> options = {})
      : token_(fmt::format("TokenOf{}", name)),
        port_(free_port()),
        account_(stage.folder.path(name)),
        servers_(std::move(servers)),
        options_(std::move(options)) {
    std::filesystem::create_directory(account_);
    rotate(stage, api, token_);
    write(stage, lease == Lease::kNone ? "" : standby(api, "rpc/weighter"));
    start();
  }

  /// The table [standby] with this Lease.
  [[nodiscard]] std::string standby(const FakeApi& api, std::string_view name) const {
    return fmt::format("[standby]\nlease = \"kubernetes:{}\"\napi = \"{}\"\naccount = \"{}\"\n", name, api.url(),
                       account_);
  }
  /// Writes the configuration with this table.
  void write(const Stage& stage, std::string_view standby_table, std::uint16_t port = 0) {
    Stage::Keys keys;
    keys.listen = fmt::format("\"127.0.0.1:{}\"", port == 0 ? port_ : port);
    keys.top = standby_table;
    config = stage.folder.write(account_.substr(account_.rfind('/') + 1) + ".toml", stage.toml(keys) + servers_);
  }

  void start() {
    std::vector<std::string> arguments{"run", "--config", config};
    arguments.insert(arguments.end(), options_.begin(), options_.end());
    program.emplace(std::move(arguments));
  }
  void rotate(const Stage& stage, FakeApi& api, const std::string& token) {
    stage.folder.write(fmt::format("{}/token", std::filesystem::path(account_).filename().string()), token + "\n");
    api.allow(token);
    token_ = token;
  }
  [[nodiscard]] const std::string& token() const { return token_; }

  [[nodiscard]] std::string get(std::string_view path) const {
    try {
      const HttpReply reply = http_get(port_, path);
      return reply.status == 200 ? reply.body : "";
    } catch (const std::system_error&) {
      return "";
    }
  }
  [[nodiscard]] bool ready() const { return get("/readyz") == "ready\n"; }
  [[nodiscard]] bool acts() const {
    const std::string report = get("/api/v1/status");
    return !report.empty() && at(json(report), "/standby/acts").GetBool();
  }
  /// Weights that HAProxy has confirmed to it.
  [[nodiscard]] unsigned pushes() const {
    const std::string text = get("/metrics");
    const std::string_view series = "result=\"confirmed\"} ";
    const std::size_t found = text.find(series);
    return found == std::string::npos ? 0 : static_cast<unsigned>(std::stoul(text.substr(found + series.size())));
  }
  [[nodiscard]] bool says_acting(unsigned value) const {
    return get("/metrics").find(fmt::format("\nrpc_weighter_acting {}\n", value)) != std::string::npos;
  }

  /// What it says of its last reading of the file: 1, 0, or absent while it cannot be asked.
  [[nodiscard]] bool took_file(unsigned value, unsigned readings) const {
    const std::string text = get("/metrics");
    const std::string_view counter = value == 1 ? "result=\"success\"} " : "result=\"failure\"} ";
    return text.find(fmt::format("\nrpc_weighter_config_last_reload_successful {}\n", value)) != std::string::npos &&
           text.find(fmt::format("{}{}\n", counter, readings)) != std::string::npos;
  }

  std::optional<Program> program;
  /// The file's path.
  std::string config;

 private:
  std::string token_;
  std::uint16_t port_;
  std::string account_;
  std::string servers_;
  std::vector<std::string> options_;
};

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutB{{"a", 128}, {"b", 0}, {"c", 128}};

}  // namespace

TEST_CASE("standby: one of two agents sets weights, and hands over at once when it ends in order") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a");
  REQUIRE(stage.reaches(kThirds));
  REQUIRE(eventually([&] { return a.acts() && a.ready(); }));
  Hand b(stage, api, "b");
  REQUIRE(eventually([&] { return b.ready(); }));
  CHECK(b.program->says("holds it; this agent stands by"));
  CHECK_FALSE(b.acts());
  CHECK(a.says_acting(1));
  CHECK(b.says_acting(0));
  const auto report = json(b.get("/api/v1/status"));
  CHECK(names(at(report, "/standby")) == "lease acts identity holder error");
  CHECK(at(report, "/standby/lease").GetString() == std::string("kubernetes:rpc/weighter"));
  CHECK(at(report, "/standby/holder").GetString() == api.holder());
  CHECK(at(report, "/standby/error").IsNull());

  // The one that stands by judges, but sends nothing.
  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));
  CHECK(b.program->says("rpc/b: degraded -> ejected"));
  CHECK(b.pushes() == 0);

  // Conflicts and what others have written into the Lease.
  api.conflict(2);
  REQUIRE(eventually([&] { return api.count(409) == 2; }));
  REQUIRE(eventually([&] { return api.text().find("\"note\":\"kept\"") != std::string::npos; }));
  CHECK(a.acts());
  // A token that has expired, until the kubelet has written the next.
  api.forbid(a.token());
  REQUIRE(eventually([&] { return api.count(401) > 0; }));
  CHECK(a.program->says("the API server: HTTP 401: Unauthorized"));
  a.rotate(stage, api, "NextToken");
  REQUIRE(eventually([&] { return at(json(a.get("/api/v1/status")), "/standby/error").IsNull(); }));
  CHECK(a.acts());
  CHECK((a.program->err() + b.program->err()).find("Token") == std::string::npos);

  const auto ended = Clock::now();
  CHECK(a.program->stop() == 0);
  REQUIRE(eventually([&] { return b.acts(); }, kTakeOver));
  MESSAGE("taken over ", std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - ended).count(),
          " ms after the end");
  stage.mend_provider(1);
  CHECK(stage.reaches(kThirds));
  CHECK(b.pushes() > 0);
  CHECK(b.program->stop() == 0);
  CHECK(api.holder() == "");
}

TEST_CASE("standby: a holder that is stopped and continued does not set weights of a view that is old") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a");
  REQUIRE(eventually([&] { return a.acts(); }));
  Hand b(stage, api, "b");
  REQUIRE(eventually([&] { return b.ready(); }));
  REQUIRE(stage.reaches(kThirds));
  const unsigned before = a.pushes();

  a.program->signal(SIGSTOP);
  stage.break_provider(1);
  REQUIRE(eventually([&] { return b.acts(); }, kTakeOver));
  REQUIRE(stage.reaches(kWithoutB));
  // It last saw b healthy, and would put its weight back.
  a.program->signal(SIGCONT);
  REQUIRE(a.program->says("since this process stood still; this agent sets no weights any more"));
  REQUIRE(stage.goes_on(20));
  CHECK_FALSE(a.acts());
  CHECK(a.pushes() == before);
  CHECK(b.program->count("by another writer") == 0);
  CHECK(stage.weights() == kWithoutB);
  CHECK(a.ready());

  // Killed: the lease has to run out.
  b.program->signal(SIGKILL);
  CHECK(b.program->wait() == -SIGKILL);
  stage.mend_provider(1);
  REQUIRE(eventually([&] { return a.acts(); }, kTakeOver));
  CHECK(stage.reaches(kThirds));
  CHECK(a.program->stop() == 0);
}

TEST_CASE("standby: cut off from the API server, the holder stops when its lease is over, and says so") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a");
  REQUIRE(eventually([&] { return a.acts(); }));
  Hand b(stage, api, "b");
  REQUIRE(eventually([&] { return b.ready(); }));
  REQUIRE(stage.reaches(kThirds));
  SUBCASE("alone: the other one takes over") {
    api.cut(a.token());
    REQUIRE(a.program->says("this agent goes on until the lease is over", 1, kTakeOver));
    REQUIRE(eventually([&] { return b.acts(); }, kTakeOver));
    CHECK_FALSE(a.acts());
    CHECK(a.program->says("it was not renewed for 8 s"));
    const unsigned before = a.pushes();
    stage.break_provider(1);
    CHECK(stage.reaches(kWithoutB));
    CHECK(a.pushes() == before);
    CHECK(b.program->count("by another writer") == 0);
  }
  SUBCASE("both: none acts, HAProxy keeps its weights, and one acts when the server is back") {
    api.cut("");
    REQUIRE(eventually([&] { return !a.acts(); }, kTakeOver));
    CHECK(a.says_acting(0));
    stage.break_provider(1);
    REQUIRE(a.program->says("rpc/b: degraded -> ejected"));
    REQUIRE(stage.goes_on(5));
    CHECK(stage.weights() == kThirds);
    CHECK(a.ready());
    api.mend();
    REQUIRE(eventually([&] { return a.acts() || b.acts(); }, kTakeOver));
    CHECK(stage.reaches(kWithoutB));
  }
  CHECK(a.program->stop() == 0);
  CHECK(b.program->stop() == 0);
}

TEST_CASE("standby: turned on by SIGHUP, the agent acts until the Lease says which one does") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a", Hand::Lease::kNone);
  REQUIRE(stage.reaches(kThirds));

  // A Lease that cannot be had leaves HAProxy to this agent, as before.
  api.forbid(a.token());
  a.write(stage, a.standby(api, "rpc/weighter"));
  a.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return a.took_file(0, 1); }));
  CHECK(a.program->says("the API server: HTTP 401: Unauthorized"));
  CHECK(at(json(a.get("/api/v1/status")), "").HasMember("standby") == false);
  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));

  // The Lease is free: the agent gets it, and acts all the time.
  api.allow(a.token());
  a.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return a.took_file(1, 1); }));
  CHECK(a.acts());
  CHECK(a.says_acting(1));
  stage.mend_provider(1);
  REQUIRE(stage.reaches(kThirds));

  // Another one was alone too, and stands by from now on.
  Hand b(stage, api, "b", Hand::Lease::kNone);
  REQUIRE(eventually([&] { return b.ready(); }));
  b.write(stage, b.standby(api, "rpc/weighter"));
  b.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return b.took_file(1, 1) && b.says_acting(0); }, kTakeOver));
  const unsigned before = b.pushes();

  // A single pass beside it says which one acts.
  const Result pass = run({"scores", "--config", b.config});
  CHECK(pass.out.find("holds kubernetes:rpc/weighter and sets the weights; this agent stands by") != std::string::npos);
  CHECK(run({"scores", "--config", a.config}).out.find("this agent holds kubernetes:rpc/weighter") !=
        std::string::npos);

  // Neither another Lease nor none: an agent that has not read that yet would act as well.
  b.write(stage, b.standby(api, "rpc/another"));
  b.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return b.took_file(0, 1); }));
  CHECK(b.program->says("kubernetes:rpc/weighter cannot be changed to another Lease"));
  b.write(stage, "");
  b.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return b.took_file(0, 2); }));
  CHECK(b.program->says("kubernetes:rpc/weighter cannot be turned off"));
  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));
  CHECK(a.acts());
  CHECK(b.says_acting(0));
  CHECK(b.pushes() == before);

  CHECK(a.program->stop() == 0);
  REQUIRE(eventually([&] { return b.acts(); }, kTakeOver));
  CHECK(b.program->stop() == 0);
}

TEST_CASE("standby: a provider whose name does not resolve does not keep an agent from the lease") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a", Hand::Lease::kShared,
         "[[backend.server]]\nname = \"d\"\nurl = \"http://no-such-host.invalid/\"\n");
  REQUIRE(eventually([&] { return a.acts(); }, kTakeOver));
  CHECK(stage.reaches(kThirds));
  CHECK(a.program->stop() == 0);
}

TEST_CASE("standby: a dry run reads the lease, and leaves it to the agent that sets weights") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a", Hand::Lease::kShared, "", {"--dry-run"});
  REQUIRE(eventually([&] { return api.count(404) >= 3; }));
  CHECK(api.holder() == "");
  CHECK_FALSE(a.acts());
  CHECK(a.says_acting(0));
  CHECK(a.ready());
  // It says what it would set, whichever agent acts.
  CHECK(a.program->says("dry run: would set weight rpc/a"));

  Hand b(stage, api, "b");
  REQUIRE(eventually([&] { return b.acts(); }, kTakeOver));
  REQUIRE(stage.reaches(kThirds));
  REQUIRE(eventually([&] { return at(json(a.get("/api/v1/status")), "/standby/holder").IsString(); }));
  CHECK(at(json(a.get("/api/v1/status")), "/standby/holder").GetString() == api.holder());
  CHECK(b.program->stop() == 0);
  CHECK(api.holder() == "");
  const unsigned reads = api.count(200);
  REQUIRE(eventually([&] { return api.count(200) >= reads + 5; }));
  CHECK(api.holder() == "");
  // A dry run may begin to watch a lease that nobody holds.
  CHECK(a.program->stop() == 0);
  CHECK(api.holder() == "");
}

TEST_CASE("standby: a dry run takes a file that turns it on, whether or not an agent holds the lease") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a", Hand::Lease::kNone, "", {"--dry-run"});
  REQUIRE(eventually([&] { return a.ready(); }));
  a.write(stage, a.standby(api, "rpc/weighter"));
  a.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return a.took_file(1, 1); }));
  CHECK(a.says_acting(0));
  CHECK(api.text() == "");
  CHECK(a.program->stop() == 0);
}

TEST_CASE("standby: a file that turns it on and names a taken port leaves the lone agent setting weights") {
  const Stage stage;
  FakeApi api;
  Hand a(stage, api, "a", Hand::Lease::kNone);
  REQUIRE(stage.reaches(kThirds));
  const boost::asio::ip::tcp::endpoint any(boost::asio::ip::make_address("127.0.0.1"), 0);
  boost::asio::io_context io;
  const tcp::acceptor taken(io, any);
  a.write(stage, a.standby(api, "rpc/weighter"), taken.local_endpoint().port());
  a.program->signal(SIGHUP);
  REQUIRE(eventually([&] { return a.took_file(0, 1); }));
  CHECK(a.program->says("asks for a port that cannot be used"));
  CHECK(a.says_acting(1));
  // The lease that it got for the new file is given back, and it goes on as before.
  CHECK(api.holder() == "");
  stage.break_provider(1);
  CHECK(stage.reaches(kWithoutB, 20s));
  CHECK(a.program->stop() == 0);
}
