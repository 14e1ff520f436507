"""A small application, with what Django ones have: sessions, forms with CSRF tokens, languages, ETags, streams."""

import sys

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    LANGUAGES=[("de", "German"), ("en", "English")],
    LANGUAGE_CODE="en",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    USE_I18N=True,
)

from django.core.management import execute_from_command_line
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control, never_cache

notes = ["first"]
asked = 0


def count():
    global asked
    asked += 1
    return asked


@cache_control(max_age=600)
def listing(request):
    return HttpResponse("request %d in %s: %s. %s" % (count(), get_language(), ", ".join(notes), "tea " * 200))


@cache_control(max_age=600)
def hello(request):
    """Looks like a page, but greets who is logged in."""
    return HttpResponse("request %d: hello %s" % (count(), request.session.get("user", "nobody")))


@never_cache
def login(request):
    if request.method == "POST":
        request.session["user"] = request.POST["user"]
        return HttpResponseRedirect("/hello")
    return HttpResponse("token=" + get_token(request))


@cache_control(max_age=600)
def note(request):
    """Shows the notes, and adds one."""
    if request.method == "POST":
        notes.append(request.POST["text"])
        return HttpResponseRedirect("/")
    return HttpResponse("%d notes" % len(notes))


@cache_control(max_age=600)
def counter(request):
    """Sets a cookie with a page that claims to be everybody's."""
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse("request %d" % count())


def stream(request):
    return StreamingHttpResponse("line %d\n" % i for i in range(1000))


def upload(request):
    return HttpResponse("%d bytes" % len(request.body))


from django.views.decorators.csrf import csrf_exempt

urlpatterns = [
    path("", listing),
    path("hello", hello),
    path("login", login),
    path("note", note),
    path("counter", counter),
    path("stream", stream),
    path("upload", csrf_exempt(upload)),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
